// Draws of a tile's noise.
#pragma once

#include "cuda/sm90/tile.cuh"
#include "draw/attention_normal.hpp"
#include "kernels/normals.cuh"

namespace dpflash::attention::cuda {

/// Key, stream and step of a launch.
template <class Source>
using Run = gpu::DrawRun<Source>;

/// The step of this launch; `fault` is NaN when a graph has no step left, which then reaches every output.
template <class Source>
__device__ __forceinline__ std::uint32_t step_of(const Run<Source>& run, float& fault) {
  fault = 0;
  if (run.device_step == nullptr) return run.step;
  const std::uint32_t step = run.device_step->next;
  if (step >= run.device_step->end) fault = __int_as_float(0x7fffffff);
  return step;
}

/// All draws of a lane again, with more bits where a radius is rare.
template <class Source>
__device__ __noinline__ void careful_quads(const Run<Source>& run, std::uint64_t group, std::uint32_t lane,
                                           std::uint32_t step, float (&z)[16]) {
  draw::attention_normals<Source>(run.key, group, lane, step, run.stream, z);
}

/// The lane's sixteen draws of 16 rows and 32 columns; false when one of them needs careful_quads.
template <class Source>
__device__ __forceinline__ bool usual_quads(const Run<Source>& run, std::uint64_t group, std::uint32_t lane,
                                            std::uint32_t step, float (&z)[16]) {
  std::uint32_t x[12];
  draw::attention_words<Source>(run.key, group, lane, step, run.stream, x);
  std::uint32_t rarest = 0xffffffffu;
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    const std::uint32_t* const w = &x[3 * q];
    rarest = min(rarest, min(w[0], w[1]));
    draw::normal_quad(draw::radius_squared(w[0]), draw::radius_squared(w[1]), w[0], w[1], w[2], &z[4 * q]);
  }
  return rarest >= draw::kNormalRareBelow;
}

/// All draws of a block. ChaCha is called, not inlined: ptxas 13.0 crashes on it among the products.
template <class Source>
__device__ __forceinline__ void block_draws(const Run<Source>& run, std::uint64_t group, std::uint32_t lane,
                                            std::uint32_t step, float (&z)[16]) {
  if constexpr (Source::words == 4) {
    if (usual_quads(run, group, lane, step, z)) return;
  }
  float again[16];
  careful_quads(run, group, lane, step, again);
#pragma unroll
  for (int i = 0; i < 16; ++i) z[i] = again[i];
}

}  // namespace dpflash::attention::cuda
