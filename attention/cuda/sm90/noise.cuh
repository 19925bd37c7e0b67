// Draws of a tile's noise: ahead of time by warps that wait, or by the warps that hold the answer.
#pragma once

#include "draw/attention_normal.hpp"
#include "kernels/normals.cuh"
#include "sm90/tile.cuh"

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
__device__ __noinline__ void rare_quads(const Run<Source>& run, std::uint64_t group, std::uint32_t lane,
                                        std::uint32_t step, float (&z)[16]) {
  draw::attention_normals<Source>(run.key, group, lane, step, run.stream, z);
}

/// The lane's sixteen draws of 16 rows and 32 columns; false when one of them needs rare_quads.
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

/// All draws of a block.
template <class Source>
__device__ __forceinline__ void block_draws(const Run<Source>& run, std::uint64_t group, std::uint32_t lane,
                                            std::uint32_t step, float (&z)[16]) {
  if (usual_quads(run, group, lane, step, z)) return;
  float again[16];
  rare_quads(run, group, lane, step, again);
#pragma unroll
  for (int i = 0; i < 16; ++i) z[i] = again[i];
}

/// Four warps draw the first `drawn` column blocks of a tile: block (r, c) is 512 numbers at (r drawn + c) 512, quad q
/// of lane l the four at 128 q + 4 l.
template <class T, class Source>
__device__ __forceinline__ void draw_tile(const Run<Source>& run, const LaunchNumbers& n, const Work& w,
                                          std::uint32_t step, float* noise) {
  const std::uint32_t lane = threadIdx.x % 32;
  const int warp = static_cast<int>(threadIdx.x / 32 % 4);
  const std::uint64_t plane =
      static_cast<std::uint64_t>(w.batch) * static_cast<unsigned>(n.heads) + static_cast<unsigned>(w.head);
#pragma unroll 1
  for (int b = warp; b < T::rows / 16 * T::drawn; b += 4) {
    const int r = b / T::drawn;
    const int c = b - r * T::drawn;
    if (w.first + 16 * r >= w.rows) break;
    float z[16];
    block_draws(run, draw::attention_group(plane, static_cast<unsigned>(w.first / 16 + r), static_cast<unsigned>(c)),
                lane, step, z);
    float4* const to = reinterpret_cast<float4*>(noise + b * 512) + lane;
#pragma unroll
    for (int q = 0; q < 4; ++q) to[32 * q] = make_float4(z[4 * q], z[4 * q + 1], z[4 * q + 2], z[4 * q + 3]);
  }
}

}  // namespace dpflash::attention::cuda
