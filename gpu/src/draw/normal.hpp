// Standard normal draws, two from a pair of words, by IEEE operations alone: host and device agree bit for bit.
// Box and Muller 1958. Errors: docs/math/randomness.md.
#pragma once

#include "draw/logarithm.hpp"

namespace dpflash::draw {

/// Below this the radius word's neighbours lie too far apart, and 64 more bits are drawn: the tail goes on to 11.5
/// standard deviations.
inline constexpr std::uint32_t kNormalRareBelow = 1u << 16;

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
  float s = 0x1.3c4b2cp-4f;
  s = fma(s, y, -0x1.3232fap-1f);
  s = fma(s, y, 0x1.46676ep+1f);
  s = fma(s, y, -0x1.4abbb6p+2f);
  s = fma(s, y, 0x1.921fb4p+1f);
  z0 = mul(as_float(as_bits(r) | (angle & 0x80000000u)), c);
  z1 = mul(r, mul(t, s));
}

/// The pair of a radius word that is not rare, and of an angle word.
DPF_HD void normals_of(std::uint32_t radius, std::uint32_t angle, float& z0, float& z1) {
  normal_pair(minus_two_log(radius), angle, z0, z1);
}

/// The pair of a rare radius word with its refill words.
DPF_HD void rare_normals_of(std::uint32_t radius, std::uint32_t e1, std::uint32_t e0, std::uint32_t angle, float& z0,
                            float& z1) {
  normal_pair(minus_two_log_rare(radius, e1, e0), angle, z0, z1);
}

}  // namespace dpflash::draw
