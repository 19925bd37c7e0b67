// ChaCha's block function (RFC 8439, section 2.3; Bernstein 2008), with 20 rounds or 12.
#pragma once

#include "draw/counter.hpp"

namespace dpflash::draw {

DPF_HD std::uint32_t rotate_left(std::uint32_t x, int n) {
#ifdef __CUDA_ARCH__
  return __funnelshift_l(x, x, n);
#else
  return std::rotl(x, n);
#endif
}

DPF_HD void quarter_round(std::uint32_t& a, std::uint32_t& b, std::uint32_t& c, std::uint32_t& d) {
  a += b;
  d = rotate_left(d ^ a, 16);
  c += d;
  b = rotate_left(b ^ c, 12);
  a += b;
  d = rotate_left(d ^ a, 8);
  c += d;
  b = rotate_left(b ^ c, 7);
}

/// 256-bit key, sixteen words a block. The counter fills state words 12 to 15 (the RFC's block counter and nonce).
template <int rounds>
struct ChaCha {
  static constexpr int words = 16;
  using Key = KeyWords;

  DPF_HD static Key expand(const KeyWords& key) { return key; }

  DPF_HD static void block(const Key& key, const Counter& counter, std::uint32_t (&out)[words]) {
    std::uint32_t x[words] = {0x61707865u,     0x3320646eu,     0x79622d32u,     0x6b206574u,
                              key.word[0],     key.word[1],     key.word[2],     key.word[3],
                              key.word[4],     key.word[5],     key.word[6],     key.word[7],
                              counter.word[0], counter.word[1], counter.word[2], counter.word[3]};
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int round = 0; round < rounds; round += 2) {
      quarter_round(x[0], x[4], x[8], x[12]);
      quarter_round(x[1], x[5], x[9], x[13]);
      quarter_round(x[2], x[6], x[10], x[14]);
      quarter_round(x[3], x[7], x[11], x[15]);
      quarter_round(x[0], x[5], x[10], x[15]);
      quarter_round(x[1], x[6], x[11], x[12]);
      quarter_round(x[2], x[7], x[8], x[13]);
      quarter_round(x[3], x[4], x[9], x[14]);
    }
    out[0] = x[0] + 0x61707865u;
    out[1] = x[1] + 0x3320646eu;
    out[2] = x[2] + 0x79622d32u;
    out[3] = x[3] + 0x6b206574u;
    for (int i = 0; i < 8; ++i) out[4 + i] = x[4 + i] + key.word[i];
    for (int i = 0; i < 4; ++i) out[12 + i] = x[12 + i] + counter.word[i];
  }
};

}  // namespace dpflash::draw
