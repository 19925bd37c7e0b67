// ChaCha's block function (RFC 8439, section 2.3; Bernstein 2008), with 20 rounds or 12.
#pragma once

#include "draw/counter.hpp"

namespace dpflash::draw {

/// Word is a 32-bit word, or on the host a vector of them, one a lane.
template <class Word>
DPF_HD Word rotate_left(Word x, int n) {
  return (x << n) | (x >> (32 - n));
}

#ifdef __CUDACC__
template <>
DPF_HD std::uint32_t rotate_left(std::uint32_t x, int n) {
#ifdef __CUDA_ARCH__
  return __funnelshift_l(x, x, n);
#else
  return (x << n) | (x >> (32 - n));
#endif
}
#endif

template <class Word>
DPF_HD void quarter_round(Word& a, Word& b, Word& c, Word& d) {
  a += b;
  d = rotate_left(d ^ a, 16);
  c += d;
  b = rotate_left(b ^ c, 12);
  a += b;
  d = rotate_left(d ^ a, 8);
  c += d;
  b = rotate_left(b ^ c, 7);
}

/// The block function: rounds, then the first state added.
template <int rounds, class Word>
DPF_HD void chacha_block(const Word (&first)[16], Word (&x)[16]) {
  for (int i = 0; i < 16; ++i) x[i] = first[i];
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
  for (int i = 0; i < 16; ++i) x[i] += first[i];
}

/// 256-bit key, sixteen words a block. The counter fills state words 12 to 15 (the RFC's block counter and nonce).
template <int rounds>
struct ChaCha {
  static constexpr int words = 16;
  using Key = KeyWords;

  DPF_HD static Key expand(const KeyWords& key) { return key; }

  DPF_HD static void block(const Key& key, const Counter& counter, std::uint32_t (&out)[words]) {
    const std::uint32_t first[words] = {0x61707865u,     0x3320646eu,     0x79622d32u,     0x6b206574u,
                                        key.word[0],     key.word[1],     key.word[2],     key.word[3],
                                        key.word[4],     key.word[5],     key.word[6],     key.word[7],
                                        counter.word[0], counter.word[1], counter.word[2], counter.word[3]};
    chacha_block<rounds>(first, out);
  }
};

}  // namespace dpflash::draw
