// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011): on the device cuRAND's own function, on the host the same
// rounds.
#pragma once

#include "draw/counter.hpp"
#ifdef __CUDACC__
#include <curand_philox4x32_x.h>
#endif

namespace dpflash::draw {

/// 64-bit key, four words a block. Fast and reproducible; not a cryptographic generator.
struct Philox {
  static constexpr int words = 4;

  DPF_HD static void block(const KeyWords& key, const Counter& counter, std::uint32_t (&out)[words]) {
#ifdef __CUDA_ARCH__
    const uint4 r = curand_Philox4x32_10(make_uint4(counter.word[0], counter.word[1], counter.word[2], counter.word[3]),
                                         make_uint2(key.word[0], key.word[1]));
    out[0] = r.x;
    out[1] = r.y;
    out[2] = r.z;
    out[3] = r.w;
#else
    std::uint32_t k0 = key.word[0];
    std::uint32_t k1 = key.word[1];
    std::uint32_t c[4] = {counter.word[0], counter.word[1], counter.word[2], counter.word[3]};
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
      const std::uint32_t next[4] = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
                                     static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
      for (int i = 0; i < 4; ++i) c[i] = next[i];
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; ++i) out[i] = c[i];
#endif
  }
};

}  // namespace dpflash::draw
