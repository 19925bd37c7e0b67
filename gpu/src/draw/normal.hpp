// Standard normal and Laplace draws from random words, by IEEE operations alone: host and device agree bit for bit.
// Box and Muller 1958. Error of every step: docs/math/randomness.md.
#pragma once

#include "draw/arith.hpp"

namespace dpflash::draw {

/// Below this a word's relative spacing is too coarse, and 64 more bits are drawn: the tail goes on to 11.5 standard
/// deviations.
inline constexpr std::uint32_t kRareBelow = 1u << 16;

/// -2 ln(1 + f) for f in [-1/2, 0]; relative error of the polynomial 1.8e-7.
DPF_HD float minus_two_log1p(float f) {
  float q = 0x1.2f57b8p+1f;
  q = fma(q, f, 0x1.14dfe8p+1f);
  q = fma(q, f, 0x1.922422p+0f);
  q = fma(q, f, -0x1.37710ep-4f);
  q = fma(q, f, 0x1.16c8dcp-1f);
  q = fma(q, f, -0x1.53d3ccp-1f);
  q = fma(q, f, 0x1.0004cap+0f);
  q = fma(q, f, -0x1.fffffcp+0f);
  return mul(q, f);
}

/// -2 ln(w 2^-32), plus `halvings` times 2 ln 2: the squared radius of a pair; w = 0 counts as 1. The argument of the
/// logarithm is an exact integer below 2^32 counted from above, so that small radii keep their relative precision.
DPF_HD float minus_two_log(std::uint32_t w, int halvings = 0) {
  const int n = leading_zeros(w);
  const float f = mul(to_float(static_cast<std::int32_t>(shift_left(w, n))), 0x1p-32f);
  return fma(to_float(n + halvings), 0x1.62e43p+0f, minus_two_log1p(f));
}

/// The same for the 80-bit fraction w : e1 : e0 with w < 2^16: the rare draws. An all-zero fraction counts as 2^-80.
DPF_HD float minus_two_log_rare(std::uint32_t w, std::uint32_t e1, std::uint32_t e0) {
  std::uint32_t hi = w;
  std::uint32_t mid = e1;
  std::uint32_t low = e0;
  int halvings = 0;
  if (hi == 0) {
    hi = mid;
    mid = low;
    low = 0;
    halvings = 32;
  }
  if (hi == 0) {
    hi = mid == 0 ? 1u : mid;
    mid = 0;
    halvings = 64;
  }
  const int n = leading_zeros(hi);
  const std::uint32_t top = n == 0 ? hi : (hi << n) | (mid >> (32 - n));
  return minus_two_log(top, halvings + n);
}

/// Two independent standard normals from a squared radius and an angle word: bit 31 is the cosine's sign, the low 23
/// bits the angle in (-1/2, 1/2) half turns. Errors of cosine and sine 1.3e-7 and 1.0e-7.
DPF_HD void normal_pair(float radius_squared, std::uint32_t angle, float& z0, float& z1) {
  const float r = square_root(radius_squared);
  const float t = add(as_float((angle & 0x007fffffu) | 0x3f800000u), -1.5f);
  const float y = mul(t, t);
  float c = 0x1.c1f066p-3f;
  c = fma(c, y, -0x1.54f61ap+0f);
  c = fma(c, y, 0x1.03bd06p+2f);
  c = fma(c, y, -0x1.3bd3a6p+2f);
  c = fma(c, y, 0x1.fffffep-1f);
#ifdef SIN3
  float s = -0x1.1bf946p-1f;
  s = fma(s, y, 0x1.455cf2p+1f);
  s = fma(s, y, -0x1.4ab278p+2f);
  s = fma(s, y, 0x1.921f5cp+1f);
#else
  float s = 0x1.3c4b2cp-4f;
  s = fma(s, y, -0x1.3232fap-1f);
  s = fma(s, y, 0x1.46676ep+1f);
  s = fma(s, y, -0x1.4abbb6p+2f);
  s = fma(s, y, 0x1.921fb4p+1f);
#endif
  z0 = mul(as_float(as_bits(r) | (angle & 0x80000000u)), c);
  z1 = mul(r, mul(t, s));
}

/// A standard Laplace draw (scale 1) from a squared-radius-like value -2 ln u and a sign bit.
DPF_HD float laplace_of(float minus_two_log_u, std::uint32_t sign_bit) {
  return as_float(as_bits(mul(minus_two_log_u, 0.5f)) | (sign_bit & 0x80000000u));
}

}  // namespace dpflash::draw
