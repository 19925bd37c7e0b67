// Standard normal and Laplace draws from random words, by IEEE operations alone: host and device agree bit for bit.
// Box and Muller 1958. Error of every step: docs/math/randomness.md.
#pragma once

#include "draw/arith.hpp"

namespace dpflash::draw {

/// Below this a word's relative spacing is too coarse, and 64 more bits are drawn: the tail goes on to 11.5 standard
/// deviations.
inline constexpr std::uint32_t kRareBelow = 1u << 16;

/// -2 ln(1 + f), |f| <= 1/3; relative error at most 1.7e-7 + 4 u.
DPF_HD float minus_two_log1p(float f) {
  float q = 0x1.3ab096p-2f;
  q = fma(q, f, -0x1.5e6fdcp-2f);
  q = fma(q, f, 0x1.504886p-2f);
  q = fma(q, f, -0x1.956702p-2f);
  q = fma(q, f, 0x1.0013fap-1f);
  q = fma(q, f, -0x1.55618ap-1f);
  q = fma(q, f, 0x1.ffffd6p-1f);
  q = fma(q, f, -0x1.fffffap+0f);
  return mul(q, f);
}

/// -2 ln(w 2^-32) for w >= 1, plus `halvings` times 2 ln 2: the squared radius of the pair. With w 2^t in [2/3, 4/3)
/// the logarithm's argument is exact near 1, where the radius is small.
DPF_HD float minus_two_log(std::uint32_t w, int halvings = 0) {
  const int t = leading_zeros(multiply_high(w, 0xC0000000u));
  const float f = mul(to_float(static_cast<std::int32_t>(shift_left(w, t))), 0x1p-32f);
  return fma(to_float(t + halvings), 0x1.62e43p+0f, minus_two_log1p(f));
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

/// Two independent standard normals from a squared radius and an angle word: bits 31 and 30 are the signs, the low 23
/// bits the angle within a quarter turn.
DPF_HD void normal_pair(float radius_squared, std::uint32_t angle, float& z0, float& z1) {
  const float r = square_root(radius_squared);
  const float t = add(as_float((angle & 0x007fffffu) | 0x3f800000u), -1.5f);
  const float y = mul(t, t);
  float c = -0x1.d8df08p-7f;
  c = fma(c, y, 0x1.6f4004p-3f);
  c = fma(c, y, -0x1.bea562p-1f);
  c = fma(c, y, 0x1.6a09e6p-1f);
  float s = -0x1.aa89dcp-9f;
  s = fma(s, y, 0x1.cd8ea4p-5f);
  s = fma(s, y, -0x1.d3ba3ep-2f);
  s = fma(s, y, 0x1.1c5832p+0f);
  const float cosine = fma(-t, s, c);
  const float sine = fma(t, s, c);
  z0 = mul(as_float(as_bits(r) | (angle & 0x80000000u)), cosine);
  z1 = mul(as_float(as_bits(r) | ((angle << 1) & 0x80000000u)), sine);
}

/// A standard Laplace draw (scale 1) from a squared-radius-like value -2 ln u and a sign bit.
DPF_HD float laplace_of(float minus_two_log_u, std::uint32_t sign_bit) {
  return as_float(as_bits(mul(minus_two_log_u, 0.5f)) | (sign_bit & 0x80000000u));
}

}  // namespace dpflash::draw
