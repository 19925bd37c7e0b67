// Clipped sums of a few parameters at a time, for the functions that do more in the same pass.
#pragma once

#include <functional>
#include <string>

#include "dpflash/noise/clipping.hpp"

namespace dpflash::noise {

/// At most this many parameters at a time: their sums stay in the first-level cache.
inline constexpr std::uint64_t kSumPiece = 2048;

/// Throws UnusableInput unless the factors fit the gradients and are numbers in [0, +inf).
void check_factors(const PerExampleGradients& gradients, std::span<const float> factors, std::uint32_t layers);

/// Adds to `sums` the factors times the gradients of parameters [begin, begin + sums.size()) of `tensor`, example by
/// example. One thread.
void add_piece(const TensorRows& tensor, std::uint64_t batch, std::span<const float> factors, std::uint32_t layers,
               std::uint64_t begin, std::span<double> sums);

/// Calls work(t, begin, end) for pieces, at most kSumPiece long, that cover the parameters of every tensor; a piece's
/// draws offset + begin ... do not cross a multiple of kSumPiece. From several threads.
void in_pieces(const PerExampleGradients& gradients,
               const std::function<void(std::size_t, std::uint64_t, std::uint64_t)>& work);

}  // namespace dpflash::noise
