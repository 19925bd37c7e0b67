// One record's contribution on the integer grid, the same bits on host and device: the factors that are tried, and what
// they make of an element. Proof: docs/math/grid-mechanism.md.
#pragma once

#include <cstdint>

#include "clip/clip.hpp"
#include "draw/grid_normal.hpp"

namespace dpflash::grid {

/// Tries that round to nearest, and tries in all; after the last the contribution counts as zero.
inline constexpr int kNearestTries = 14;
inline constexpr int kTries = 400;

/// A sum of squares of integers, exact: high 2^64 + low.
struct Square {
  std::uint64_t high;
  std::uint64_t low;
};

/// How the elements of a contribution become integers: element x becomes x * factor, rounded.
struct Rounding {
  double factor;      ///< 0: everything becomes 0, NaN and infinities too
  bool towards_zero;  ///< else to the nearest, ties to even
};

/// The integer of one element; |x * factor| below 2^51.
DPF_HD std::int64_t rounded(float x, const Rounding& rounding) {
  if (rounding.factor == 0) return 0;
  const double y = draw::mul(static_cast<double>(x), rounding.factor);
#ifdef __CUDA_ARCH__
  // Adding 1.5 2^52 rounds to an integer, which then stands in the low bits: conversions are four times slower.
  constexpr double kShift = 0x1.8p52;
  if (!rounding.towards_zero)
    return static_cast<std::int64_t>(draw::as_bits(draw::add(y, kShift)) - draw::as_bits(kShift));
  return static_cast<std::int64_t>(trunc(y));
#else
  return static_cast<std::int64_t>(rounding.towards_zero ? __builtin_trunc(y) : __builtin_nearbyint(y));
#endif
}

DPF_HD void add(Square& sum, const Square& other) {
  sum.low += other.low;
  sum.high += other.high + (sum.low < other.low ? 1u : 0u);
}

/// k^2.
DPF_HD Square square_of(std::int64_t k) {
  const std::uint64_t modulus = k < 0 ? ~static_cast<std::uint64_t>(k) + 1u : static_cast<std::uint64_t>(k);
#ifdef __CUDA_ARCH__
  return {__umul64hi(modulus, modulus), modulus * modulus};
#else
  __extension__ typedef unsigned __int128 Wide;
  const Wide wide = static_cast<Wide>(modulus) * modulus;
  return {static_cast<std::uint64_t>(wide >> 64), static_cast<std::uint64_t>(wide)};
#endif
}

DPF_HD bool at_most(const Square& a, const Square& b) {
  return a.high < b.high || (a.high == b.high && a.low <= b.low);
}

/// Nearest double, ties to even.
DPF_HD double to_double(const Square& s) {
  if (s.high == 0) return draw::to_double(s.low);
  const int n = draw::leading_zeros(s.high);
  const std::uint64_t top = n == 0 ? s.high : (s.high << n) | (s.low >> (64 - n));
  const std::uint64_t rest = s.low << n;
  // What is cut off counts for a last bit, below the 53 that stay, where ties are told from more.
  const double nearest = draw::to_double(top | (rest != 0 ? 1u : 0u));
  return draw::mul(nearest, draw::as_double(static_cast<std::uint64_t>(1023 + 64 - n) << 52));
}

/// The first try: 1 / spacing (`per_unit`) or what clips the norm; none (0) when the norm is not finite.
DPF_HD Rounding first_rounding(double squared_norm, double per_unit, std::int64_t integer_clip) {
  if (!(squared_norm <= DBL_MAX)) return {};
  const double clipped = clip::divide(static_cast<double>(integer_clip), clip::square_root_of(squared_norm));
  return {clipped < per_unit ? clipped : per_unit, false};
}

/// The try after number `attempt` (from 0), whose sum of squares was `squared`, above integer_clip^2: down by the
/// excess, and by no less than a step that grows to a half. None (0) after the last.
DPF_HD Rounding next_rounding(const Rounding& rounding, const Square& squared, std::int64_t integer_clip, int attempt) {
  if (attempt + 1 >= kTries) return {};
  const double excess = clip::divide(static_cast<double>(integer_clip), clip::square_root_of(to_double(squared)));
  const int halvings = 29 - 2 * attempt > 1 ? 29 - 2 * attempt : 1;
  const double step = draw::add(1.0, -draw::as_double(static_cast<std::uint64_t>(1023 - halvings) << 52));
  return {draw::mul(rounding.factor, excess < step ? excess : step), attempt >= kNearestTries};
}

}  // namespace dpflash::grid
