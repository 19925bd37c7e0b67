// Standard normal draws, four from three words, by IEEE operations alone: host and device agree bit for bit.
// Box and Muller 1958. Errors: docs/math/randomness.md.
#pragma once

#include "draw/counter.hpp"
#include "draw/logarithm.hpp"

namespace dpflash::draw {

/// Radius words below this (of 2^32) have neighbours too far apart, and 64 more bits are drawn: the tail goes on to 11
/// standard deviations. One radius in 2^15.
inline constexpr std::uint32_t kNormalRareBelow = 1u << 17;

/// The upper 24 bits of a radius word, which stand for the middle of their cell.
DPF_HD std::uint32_t middle_of_cell(std::uint32_t word) { return (word & 0xffffff00u) | 0x80u; }

/// The squared radius of a pair.
DPF_HD float radius_squared(std::uint32_t word) { return minus_two_log(middle_of_cell(word)); }

/// The same when the word is rare: its 24 bits and 64 more, an 88-bit fraction.
DPF_HD float rare_radius_squared(std::uint32_t word, std::uint32_t e1, std::uint32_t e0) {
  return minus_two_log_rare(word >> 8, e1, e0, -8);
}

/// Two independent standard normals from a squared radius and 23 bits of angle: bit 31 is the cosine's sign, bits 1 to
/// 22 the angle in (-1/2, 1/2) half turns; the other bits do not matter. Errors of cosine and sine 1.7e-7 and 7.1e-7.
DPF_HD void normal_pair(float radius_squared, std::uint32_t angle, float& z0, float& z1) {
  const float r = square_root(radius_squared);
  // The middle of a cell of 2^-22, never 0: no draw is exactly 0, and both have mean 0.
  const float t = add(as_float((angle & 0x007ffffeu) | 0x3f800001u), -1.5f);
  const float y = mul(t, t);
  float c = 0x1.c1f066p-3f;
  c = fma(c, y, -0x1.54f61ap+0f);
  c = fma(c, y, 0x1.03bd06p+2f);
  c = fma(c, y, -0x1.3bd3a6p+2f);
  c = fma(c, y, 0x1.fffffep-1f);
  float s = -0x1.1bf946p-1f;
  s = fma(s, y, 0x1.455cf2p+1f);
  s = fma(s, y, -0x1.4ab278p+2f);
  s = fma(s, y, 0x1.921f5cp+1f);
  z0 = mul(as_float(as_bits(r) | (angle & 0x80000000u)), c);
  z1 = mul(r, mul(t, s));
}

/// The upper three bytes of a word as an angle.
DPF_HD std::uint32_t upper_angle(std::uint32_t x) {
#ifdef __CUDA_ARCH__
  return __byte_perm(x, 0, 0x3321);
#else
  return ((x >> 8) & 0x007fffffu) | (x & 0x80000000u);
#endif
}

/// The lowest bytes of three words as an angle.
DPF_HD std::uint32_t lower_angle(std::uint32_t x0, std::uint32_t x1, std::uint32_t x2) {
#ifdef __CUDA_ARCH__
  return __byte_perm(__byte_perm(x0, x1, 0x0040), x2, 0x4410);
#else
  return (x0 & 0xffu) | ((x1 & 0xffu) << 8) | ((x2 & 0x7fu) << 16) | ((x2 & 0x80u) << 24);
#endif
}

/// Four draws from three words: radii from the upper bytes of x0 and x1, angles from the rest.
DPF_HD void normal_quad(float r0, float r1, std::uint32_t x0, std::uint32_t x1, std::uint32_t x2, float* z) {
  normal_pair(r0, upper_angle(x2), z[0], z[1]);
  normal_pair(r1, lower_angle(x0, x1, x2), z[2], z[3]);
}

/// How draws lie in groups of 32 lanes, so that lanes touch consecutive memory: lane l owns elements 128 q + 4 l + k of
/// a group, q < quads, k < 4. Its words come from `blocks` blocks, three to a quad.
template <class Source>
struct NormalLayout {
  static constexpr int blocks = Source::words == 4 ? 3 : 1;
  static constexpr int quads = Source::words * blocks / 3;
  static constexpr std::uint32_t group = 128u * quads;

  DPF_HD static std::uint64_t block_of(std::uint64_t group_number, std::uint32_t lane, std::uint32_t block) {
    return ((group_number * blocks + block) << 5) | lane;
  }
};

/// All draws of one lane of a group, with refill words where a radius is rare.
template <class Source>
DPF_HD void lane_normals(const typename Source::Key& key, std::uint64_t group, std::uint32_t lane, std::uint32_t step,
                         std::uint32_t stream, float (&z)[4 * NormalLayout<Source>::quads]) {
  using Layout = NormalLayout<Source>;
  std::uint32_t x[Source::words * Layout::blocks];
  for (std::uint32_t b = 0; b < Layout::blocks; ++b) {
    std::uint32_t words[Source::words];
    Source::block(key, counter_of(Layout::block_of(group, lane, b), Use::normal, 0, step, stream), words);
    for (int i = 0; i < Source::words; ++i) x[b * Source::words + static_cast<std::uint32_t>(i)] = words[i];
  }
  for (std::uint32_t q = 0; q < Layout::quads; ++q) {
    const std::uint32_t* const w = &x[3 * q];
    float r[2] = {radius_squared(w[0]), radius_squared(w[1])};
    if (w[0] < kNormalRareBelow || w[1] < kNormalRareBelow) {
      // Four refill words a quad; a lane's first block has refills for all of its quads.
      std::uint32_t extra[Source::words];
      constexpr std::uint32_t quads_a_refill = Source::words / 4;
      const std::uint32_t refill = 1 + q / quads_a_refill;
      Source::block(key, counter_of(Layout::block_of(group, lane, 0), Use::normal, refill, step, stream), extra);
      const std::uint32_t* const e = &extra[4 * (q % quads_a_refill)];
      if (w[0] < kNormalRareBelow) r[0] = rare_radius_squared(w[0], e[0], e[1]);
      if (w[1] < kNormalRareBelow) r[1] = rare_radius_squared(w[1], e[2], e[3]);
    }
    normal_quad(r[0], r[1], w[0], w[1], w[2], &z[4 * q]);
  }
}

}  // namespace dpflash::draw
