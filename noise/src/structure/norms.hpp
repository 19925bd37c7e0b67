// Norms of one record's contribution, rounded up, and scaling down to a bound that the floats themselves keep.
#pragma once

#include <cstdint>
#include <span>

namespace dpflash::noise::structure {

/// |x|_2, |x|_1 and |W^-1 x|_2 (weights > 0), never below the exact value of these floats; +inf when x has a NaN or an
/// infinity. Summed in pieces, so that a billion elements cost a relative 1e-11.
double l2_norm(std::span<const float> x);
double l1_norm(std::span<const float> x);
double weighted_norm(std::span<const float> x, std::span<const float> weights);
/// The same as l2_norm over the positions that `kept` lists.
double l2_norm_at(std::span<const float> x, std::span<const std::uint64_t> kept);

/// Makes `x`, whose norm is at most `norm`, one of norm at most `limit`: every element times limit / norm, rounded
/// towards zero. For norms that do not grow when an element shrinks. A norm of +inf gives zero.
void scale_down(std::span<float> x, double norm, double limit);

}  // namespace dpflash::noise::structure
