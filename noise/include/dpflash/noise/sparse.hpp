// Noise on a public mask: signal and noise are zero outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <span>
#include <vector>

namespace dpflash::noise {

/// Which coordinates are released. It must be public, or chosen by a private mechanism that is billed for.
class Mask {
 public:
  /// Positions that are kept, strictly increasing and below `dimension`.
  static Mask of_indices(std::size_t dimension, std::span<const std::uint64_t> kept);
  /// One byte a coordinate, 0 or 1.
  static Mask of_bits(std::span<const std::uint8_t> bits);
  /// n of every m consecutive: i is kept when (i + offset) mod m < n; 1 <= n <= m.
  static Mask n_of_m(std::size_t dimension, std::size_t n, std::size_t m, std::size_t offset = 0);
  /// Every k-th: i is kept when (i + offset) mod k = 0.
  static Mask every_kth(std::size_t dimension, std::size_t k, std::size_t offset = 0);
  /// A band of a row-major matrix: (i, j) is kept when i - below <= j <= i + above.
  static Mask band(std::size_t rows, std::size_t columns, std::size_t below, std::size_t above);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Kept positions, increasing; at least one.
  [[nodiscard]] std::span<const std::uint64_t> kept() const noexcept { return kept_; }
  /// How many kept positions lie below `position`.
  [[nodiscard]] std::uint64_t rank_of(std::size_t position) const;

 private:
  Mask(std::size_t size, std::vector<std::uint64_t> kept);
  std::size_t size_;
  std::vector<std::uint64_t> kept_;
};

/// (g + scale z) on the mask, 0 elsewhere.
/// Neighbouring differences: |Delta restricted to the mask|_2 <= clip; what lies outside is dropped, never released.
/// Covariance: scale^2 on the mask's diagonal, 0 elsewhere. mu = clip / scale.
/// Leaving the *signal* outside the mask is not private at any epsilon: those entries would be exact.
/// Proof: docs/math/structured-noise.md, section 4.
class Sparse {
 public:
  /// `clip` finite and positive, a Gaussian calibration. Throws UnusableInput.
  Sparse(Mask mask, double clip, const Calibration& calibration);

  [[nodiscard]] std::size_t size() const noexcept { return mask_.size(); }
  /// Number of kept coordinates.
  [[nodiscard]] std::uint64_t draws() const noexcept { return mask_.kept().size(); }
  [[nodiscard]] const Mask& mask() const noexcept { return mask_; }
  [[nodiscard]] double clip_norm() const noexcept { return clip_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }
  /// Standard deviation of a kept element's noise: noise_multiplier times clip, rounded up.
  [[nodiscard]] float scale() const noexcept { return scale_; }

  /// Zeroes one record's contribution outside the mask, then scales it down to norm `clip` at most, rounded towards
  /// zero; non-finite on the mask: all zero. Throws UnusableInput for another size.
  void clip(std::span<float> contribution) const;
  /// clip / scale, rounded up; at most 1/noise_multiplier.
  [[nodiscard]] double mu() const;
  /// Variance of element i's noise: scale^2 or 0.
  [[nodiscard]] double variance(std::size_t i) const;
  /// E |noise|^2 = kept scale^2; what is dropped comes on top.
  [[nodiscard]] double expected_squared_error() const;

  /// Zeroes the sum outside the mask and adds noise inside; the j-th kept position takes draw position.first + j.
  /// Multithreaded. Throws UnusableInput for another size, ReusedNoise.
  void privatise(std::span<float> sum, NoiseSource& source, const Position& position) const;
  /// The same for elements [begin, begin + part.size()); draws are counted from the whole sum's first kept position.
  void privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source, const Position& position) const;

 private:
  Mask mask_;
  double clip_;
  Calibration calibration_;
  float scale_;
};

}  // namespace dpflash::noise
