// Double and float arithmetic rounded on purpose: scales and mu go up, what a record may contribute goes down.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "noise needs IEEE arithmetic: build without -ffast-math (Intel: -fp-model=precise)"
#endif

namespace dpflash::noise::structure {

/// Unit roundoff of double.
inline constexpr double kUnit = 0x1p-53;
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The next larger double; +inf stays.
inline double above(double x) { return std::nextafter(x, kInfinity); }

/// a b, a / b and the root of a, rounded up: exact results stay (the remainder is exact by fma). For normal results.
inline double multiply_up(double a, double b) {
  const double p = a * b;
  return std::fma(a, b, -p) > 0 ? above(p) : p;
}
inline double divide_up(double a, double b) {
  const double q = a / b;
  return std::fma(-q, b, a) > 0 ? above(q) : q;
}
inline double sqrt_up(double a) {
  const double r = std::sqrt(a);
  return std::fma(-r, r, a) > 0 ? above(r) : r;
}

/// The least float that is not below x >= 0; +inf beyond the largest.
inline float float_up(double x) {
  const auto f = static_cast<float>(x);
  return static_cast<double>(f) < x ? std::nextafter(f, std::numeric_limits<float>::infinity()) : f;
}

/// The float next to x towards zero; |x| at most the largest float.
inline float float_towards_zero(double x) {
  const auto f = static_cast<float>(x);
  if (!(std::abs(static_cast<double>(f)) > std::abs(x))) return f;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(f) - 1u);
}

/// True for a positive float with all its bits: neither 0, subnormal, infinite nor NaN.
inline bool is_positive_normal(float x) { return std::isnormal(x) && x > 0; }

}  // namespace dpflash::noise::structure
