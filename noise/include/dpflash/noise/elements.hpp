// Sixteen-bit elements, and noise on the host for them: what the device computes, bit for bit.
#pragma once

#include <cstdint>
#include <dpflash/noise/block_diagonal.hpp>
#include <dpflash/noise/isotropic.hpp>
#include <dpflash/noise/source.hpp>
#include <dpflash/noise/sparse.hpp>
#include <dpflash/noise/weighted.hpp>
#include <span>

namespace dpflash::noise {

/// A bfloat16 as its bits: 8 of exponent, 7 of fraction. The layout of CUDA's and of every framework's type.
struct BFloat16 {
  std::uint16_t bits = 0;
  bool operator==(const BFloat16&) const = default;
};

/// An IEEE binary16 as its bits: 5 of exponent, 10 of fraction.
struct Float16 {
  std::uint16_t bits = 0;
  bool operator==(const Float16&) const = default;
};

/// Nearest element, ties to even; beyond the largest infinity, and every NaN becomes 0x7fff.
BFloat16 to_bfloat16(float x) noexcept;
Float16 to_float16(float x) noexcept;
/// Exact.
float to_float(BFloat16 x) noexcept;
float to_float(Float16 x) noexcept;

/// As the mechanism's own privatise, on 16-bit elements: the noise is added in binary32 and the result rounded once
/// more, to the element. What is lost there is post-processing. T is BFloat16 or Float16. A copy in floats is made.
///
/// mu() holds for the *stored* sums: those of neighbouring data must be within the clip of each other as 16-bit
/// numbers. A sum that was gathered in floats and rounded to T does not keep that: one record may move an element by a
/// unit of T, 2^-8 of the element. Add the noise in floats where the sums are, and round afterwards. Throws
/// UnusableInput for another size, ReusedNoise.
template <class T>
void privatise(const Isotropic& mechanism, std::span<T> sum, NoiseSource& source, const Position& position);
template <class T>
void privatise(const Weighted& mechanism, std::span<T> sum, NoiseSource& source, const Position& position);
template <class T>
void privatise(const BlockDiagonal& mechanism, std::span<T> sum, NoiseSource& source, const Position& position);
template <class T>
void privatise(const Sparse& mechanism, std::span<T> sum, NoiseSource& source, const Position& position);

}  // namespace dpflash::noise
