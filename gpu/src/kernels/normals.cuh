// One lane's sixteen draws of a group of 512, on the device.
#pragma once

#include "draw/chacha.hpp"
#include "draw/normal.hpp"
#include "draw/philox.hpp"
#include "kernels/draws.hpp"

namespace dpflash::gpu {

/// What a launch draws: key, stream, step and the index of its first element; the step may be the device's.
template <class Source>
struct DrawRun {
  typename Source::Key key;
  std::uint32_t stream;
  std::uint32_t step;
  std::uint64_t first;
  const StepRange* device_step;
};

template <class Source>
using Layout = draw::NormalLayout<Source>;

/// The lane's draws of a group; false when a radius is rare, and its pair is missing. `loaded` is what was loaded to be
/// used with them: its bits decide nothing, but without a use here the compiler moves the loads behind the draws.
template <class Source>
__device__ __forceinline__ bool usual_normals(const DrawRun<Source>& run, std::uint32_t step, std::uint64_t group,
                                              std::uint32_t lane, float (&z)[4 * Layout<Source>::quads],
                                              std::uint32_t loaded = 0) {
  std::uint32_t x[Source::words * Layout<Source>::blocks];
#pragma unroll
  for (int b = 0; b < Layout<Source>::blocks; ++b) {
    std::uint32_t words[Source::words];
    Source::block(run.key,
                  draw::counter_of(Layout<Source>::block_of(group, lane, b), draw::Use::normal, 0, step, run.stream),
                  words);
#pragma unroll
    for (int i = 0; i < Source::words; ++i) x[b * Source::words + i] = words[i];
  }
  std::uint32_t rarest = loaded | draw::kNormalRareBelow;
#pragma unroll
  for (int q = 0; q < Layout<Source>::quads; ++q) {
    const std::uint32_t* const w = &x[3 * q];
    rarest = min(rarest, min(w[0], w[1]));
    draw::normal_quad(draw::radius_squared(w[0]), draw::radius_squared(w[1]), w[0], w[1], w[2], &z[4 * q]);
  }
  return rarest >= draw::kNormalRareBelow;
}

}  // namespace dpflash::gpu
