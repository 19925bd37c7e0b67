// One lane's sixteen draws of a group of 512, on the device.
#pragma once

#include "draw/chacha.hpp"
#include "draw/normal.hpp"
#include "draw/philox.hpp"

namespace dpflash::gpu {

/// What a launch draws: key, stream, step and the index of its first element.
template <class Source>
struct DrawRun {
  typename Source::Key key;
  std::uint32_t stream;
  std::uint32_t step;
  std::uint64_t first;
};

/// Draws of a group are dealt to a warp: lane l owns elements 128 j + 4 l + k, j and k in [0, 4).
constexpr std::uint32_t kGroup = 512;
constexpr int kDrawsPerLane = 16;

/// The lane's 16 words of a group: Philox takes four blocks, ChaCha one.
template <class Source>
__device__ __forceinline__ void words_of(const DrawRun<Source>& run, draw::Use use, std::uint32_t step, std::uint64_t group,
                                         std::uint32_t lane, std::uint32_t (&x)[kDrawsPerLane]) {
  constexpr int blocks = kDrawsPerLane / Source::words;
#pragma unroll
  for (int b = 0; b < blocks; ++b) {
    std::uint32_t out[Source::words];
    Source::block(run.key, draw::counter_of(((group * blocks) << 5) | (b * 32u + lane), use, 0, step, run.stream), out);
#pragma unroll
    for (int w = 0; w < Source::words; ++w) x[b * Source::words + w] = out[w];
  }
}

/// The lane's draws from its words; false when a radius word is rare, and its pair is missing.
__device__ __forceinline__ bool normals_of(const std::uint32_t (&x)[kDrawsPerLane], float (&z)[kDrawsPerLane]) {
  std::uint32_t rarest = 0xffffffffu;
#pragma unroll
  for (int w = 0; w < kDrawsPerLane; w += 2) {
    rarest = min(rarest, x[w]);
    draw::normals_of(x[w], x[w + 1], z[w], z[w + 1]);
  }
  return rarest >= draw::kNormalRareBelow;
}

/// The same with refill words: right always, for the one lane in 8000 that needs it.
template <class Source>
__device__ __forceinline__ void rare_normals_of(const DrawRun<Source>& run, std::uint32_t step, std::uint64_t group,
                                                std::uint32_t lane, float (&z)[kDrawsPerLane]) {
  constexpr int blocks = kDrawsPerLane / Source::words;
#pragma unroll 1
  for (int b = 0; b < blocks; ++b) {
    const std::uint64_t block = ((group * blocks) << 5) | (b * 32u + lane);
    std::uint32_t x[Source::words];
    std::uint32_t extra[Source::words];
    Source::block(run.key, draw::counter_of(block, draw::Use::normal, 0, step, run.stream), x);
    Source::block(run.key, draw::counter_of(block, draw::Use::normal, 1, step, run.stream), extra);
#pragma unroll 1
    for (int w = 0; w < Source::words; w += 2) {
      float* const out = &z[b * Source::words + w];
      if (x[w] < draw::kNormalRareBelow)
        draw::rare_normals_of(x[w], extra[w], extra[w + 1], x[w + 1], out[0], out[1]);
      else
        draw::normals_of(x[w], x[w + 1], out[0], out[1]);
    }
  }
}

}  // namespace dpflash::gpu
