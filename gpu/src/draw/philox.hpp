// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011): on the device cuRAND's own round, on the host the same.
#pragma once

#include "draw/counter.hpp"
#ifdef __CUDACC__
#include <curand_philox4x32_x.h>
#endif

namespace dpflash::draw {

/// 64-bit key, four words a block. Fast and reproducible; not a cryptographic generator.
struct Philox {
  static constexpr int words = 4;
  static constexpr int rounds = 10;

  /// The keys of the ten rounds, two words each: computed once, not in every thread.
  struct Key {
    std::uint32_t round[2 * rounds];
  };

  DPF_HD static Key expand(const KeyWords& key) {
    Key expanded;
    for (std::uint32_t i = 0; i < rounds; ++i) {
      expanded.round[2 * i] = key.word[0] + 0x9E3779B9u * i;
      expanded.round[2 * i + 1] = key.word[1] + 0xBB67AE85u * i;
    }
    return expanded;
  }

  DPF_HD static void block(const Key& key, const Counter& counter, std::uint32_t (&out)[words]) {
#ifdef __CUDA_ARCH__
    uint4 c = make_uint4(counter.word[0], counter.word[1], counter.word[2], counter.word[3]);
#pragma unroll
    for (int i = 0; i < rounds; ++i) c = _philox4x32round(c, make_uint2(key.round[2 * i], key.round[2 * i + 1]));
    out[0] = c.x;
    out[1] = c.y;
    out[2] = c.z;
    out[3] = c.w;
#else
    std::uint32_t c[4] = {counter.word[0], counter.word[1], counter.word[2], counter.word[3]};
    for (int i = 0; i < rounds; ++i) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
      c[0] = static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key.round[2 * i];
      c[1] = static_cast<std::uint32_t>(p1);
      c[2] = static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key.round[2 * i + 1];
      c[3] = static_cast<std::uint32_t>(p0);
    }
    for (int i = 0; i < 4; ++i) out[i] = c[i];
#endif
  }
};

}  // namespace dpflash::draw
