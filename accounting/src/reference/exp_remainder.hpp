// h(x) = e^x - 1 - x >= 0 to a relative error of 16 units roundoff: every Rényi moment here is a sum of such terms with
// positive weights, so nothing cancels (docs/math/renyi.md, section 2).
#pragma once

#include <cmath>

#include "special/simd_math.hpp"

namespace dpflash::accounting {

/// sum_(n>=2) x^n / n! up to degree 19, for |x| <= 1; `Real` is double or simd::V.
template <class Real>
inline __attribute__((always_inline)) Real exp_remainder_series(Real x) {
  Real p = x * (1.0 / 121645100408832000.0) + 1.0 / 6402373705728000.0;
  p = p * x + 1.0 / 355687428096000.0;
  p = p * x + 1.0 / 20922789888000.0;
  p = p * x + 1.0 / 1307674368000.0;
  p = p * x + 1.0 / 87178291200.0;
  p = p * x + 1.0 / 6227020800.0;
  p = p * x + 1.0 / 479001600.0;
  p = p * x + 1.0 / 39916800.0;
  p = p * x + 1.0 / 3628800.0;
  p = p * x + 1.0 / 362880.0;
  p = p * x + 1.0 / 40320.0;
  p = p * x + 1.0 / 5040.0;
  p = p * x + 1.0 / 720.0;
  p = p * x + 1.0 / 120.0;
  p = p * x + 1.0 / 24.0;
  p = p * x + 1.0 / 6.0;
  p = p * x + 0.5;
  return (x * x) * p;
}

/// h(x); +inf above 709.78.
inline double exp_remainder(double x) { return std::abs(x) <= 1 ? exp_remainder_series(x) : (std::exp(x) - 1) - x; }

/// e^shift h(x) without overflow of h alone.
inline double scaled_exp_remainder(double shift, double x) {
  if (std::abs(x) <= 1) return std::exp(shift) * exp_remainder_series(x);
  return std::exp(shift + x) - std::exp(shift) * (1 + x);
}

/// Eight at once of e^log_weight h(x), with weight = e^log_weight given as well.
DPFLASH_SIMD_INLINE simd::V weighted_exp_remainder(simd::V log_weight, simd::V weight, simd::V x) {
  const simd::V far = simd::exp(log_weight + x) - weight * (1.0 + x);
  const simd::V inside = x > 1.0 ? simd::V{} + 1.0 : x;
  const simd::V near = weight * exp_remainder_series(inside < -1.0 ? simd::V{} - 1.0 : inside);
  return (x > 1.0) | (x < -1.0) ? far : near;
}

}  // namespace dpflash::accounting
