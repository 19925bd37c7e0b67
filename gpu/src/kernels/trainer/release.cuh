// Clipped sums in double, example by example, and the noise in the same pass: a block a group of draws.
#pragma once

#include <cstdint>

#include "clip/clip.hpp"
#include "dpflash/gpu/error.hpp"
#include "kernels/normals.cuh"
#include "kernels/trainer.hpp"

namespace dpflash::gpu {

/// What the second pass does beside adding up.
struct ReleaseRule {
  const float* factors;
  const float* scales;
  double denominator;
  bool from_sums;  ///< else sums start at 0
};

__device__ __forceinline__ float4 load_row(const float* p) {
  float4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "l"(p));
  return v;
}

/// All draws of a group, by one warp, to shared memory: z[i] is draw group * length + i.
template <class Source>
__device__ __forceinline__ void share_normals(const DrawRun<Source>& run, std::uint32_t step, std::uint64_t group,
                                              std::uint32_t lane, float* shared) {
  float z[4 * Layout<Source>::quads];
  if (!usual_normals<Source>(run, step, group, lane, z))
    draw::lane_normals<Source>(run.key, group, lane, step, run.stream, z);
#pragma unroll
  for (int q = 0; q < Layout<Source>::quads; ++q)
    *reinterpret_cast<float4*>(shared + 128 * q + 4 * lane) =
        make_float4(z[4 * q], z[4 * q + 1], z[4 * q + 2], z[4 * q + 3]);
}

/// Adds the rows of four neighbouring parameters, in the order of the examples. A row of factor 0 is left out.
__device__ __forceinline__ void add_rows(const float* p, std::uint64_t stride, const float* factors,
                                         std::uint32_t layers, std::uint32_t batch, double (&sum)[4]) {
  constexpr int kInFlight = 8;
  std::uint32_t b = 0;
#pragma unroll 1
  for (; b + kInFlight <= batch; b += kInFlight) {
    float4 g[kInFlight];
    float f[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) g[i] = load_row(p + i * stride);
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) f[i] = __ldg(factors + static_cast<std::uint64_t>(b + i) * layers);
    p += kInFlight * stride;
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (f[i] == 0) continue;
      const double factor = f[i];
      sum[0] = draw::fma(factor, static_cast<double>(g[i].x), sum[0]);
      sum[1] = draw::fma(factor, static_cast<double>(g[i].y), sum[1]);
      sum[2] = draw::fma(factor, static_cast<double>(g[i].z), sum[2]);
      sum[3] = draw::fma(factor, static_cast<double>(g[i].w), sum[3]);
    }
  }
#pragma unroll 1
  for (; b < batch; ++b, p += stride) {
    const float f = __ldg(factors + static_cast<std::uint64_t>(b) * layers);
    if (f == 0) continue;
    const double factor = f;
    const float4 g = load_row(p);
    sum[0] = draw::fma(factor, static_cast<double>(g.x), sum[0]);
    sum[1] = draw::fma(factor, static_cast<double>(g.y), sum[1]);
    sum[2] = draw::fma(factor, static_cast<double>(g.z), sum[2]);
    sum[3] = draw::fma(factor, static_cast<double>(g.w), sum[3]);
  }
}

/// The same for parameters 32 apart, where rows are not aligned or end: `count` of the four exist.
__device__ __forceinline__ void add_rows_apart(const float* p, std::uint64_t stride, const float* factors,
                                               std::uint32_t layers, std::uint32_t batch, std::uint32_t count,
                                               double (&sum)[4]) {
  constexpr int kInFlight = 8;
#pragma unroll 1
  for (std::uint32_t first = 0; first < batch; first += kInFlight, p += kInFlight * stride) {
    float g[kInFlight][4];
    float f[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const bool there = first + i < batch;
      f[i] = there ? __ldg(factors + static_cast<std::uint64_t>(first + i) * layers) : 0.0f;
#pragma unroll
      for (std::uint32_t k = 0; k < 4; ++k) g[i][k] = there && k < count ? __ldg(p + i * stride + 32 * k) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (f[i] == 0) continue;
      const double factor = f[i];
#pragma unroll
      for (int k = 0; k < 4; ++k) sum[k] = draw::fma(factor, static_cast<double>(g[i][k]), sum[k]);
    }
  }
}

/// The place of a block: tile `tile` of its tensor holds parameters [begin, begin + length), of which those in
/// [0, width) exist. It starts at a multiple of four parameters, `missed` < 4 draws behind a group's first.
struct SumTile {
  std::uint32_t tensor;
  std::int64_t begin;
  std::uint64_t group;   ///< whose draws the tile starts with
  std::uint32_t missed;  ///< draws of that group that come before the tile
};

template <std::uint32_t length>
__device__ __forceinline__ SumTile tile_of(const GradientTable& table, std::uint64_t tile, std::uint64_t first) {
  constexpr int kind = length == 512 ? 0 : 1;
  std::uint32_t low = 0;
  std::uint32_t high = table.count;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (table.tensors[middle].first_sum_tile[kind] <= tile)
      low = middle;
    else
      high = middle;
  }
  const std::uint64_t origin = first + table.tensors[low].offset;
  const std::uint64_t i = tile - table.tensors[low].first_sum_tile[kind];
  const auto in_group = static_cast<std::uint32_t>(origin % length);
  return {low, static_cast<std::int64_t>(i * length) - static_cast<std::int64_t>(in_group & ~3u), origin / length + i,
          in_group % 4};
}

/// One warp's 128 parameters: four neighbours a thread, or four that lie 32 apart.
struct Columns {
  std::int64_t first;
  std::uint32_t apart;
  std::uint32_t count;
};

__device__ __forceinline__ Columns columns_of(const GradientTensor& tensor, std::int64_t begin, std::uint32_t lane) {
  const auto width = static_cast<std::int64_t>(tensor.width);
  const bool aligned = reinterpret_cast<std::uintptr_t>(tensor.data) % 16 == 0 && tensor.stride % 4 == 0;
  if (aligned && begin >= 0 && begin + 128 <= width) return {begin + lane * 4, 1, 4};
  // Before the first parameter whole quarters of a warp may be missing; `begin` is a multiple of four alone.
  std::int64_t first = begin + lane;
  while (first < 0) first += 32;
  const std::int64_t stop = begin + 128 < width ? begin + 128 : width;
  const std::uint32_t count = first < stop ? static_cast<std::uint32_t>((stop - first + 31) / 32) : 0;
  return {first, 32, count};
}

__device__ __forceinline__ void gather_sums(const GradientTable& table, const GradientTensor& tensor,
                                            const Columns& columns, const float* factors, std::uint32_t batch,
                                            bool from_sums, double (&sum)[4]) {
  if (from_sums)
#pragma unroll
    for (std::uint32_t k = 0; k < 4; ++k)
      sum[k] = k < columns.count ? tensor.sums[columns.first + k * columns.apart] : 0.0;
  if (columns.apart == 1)
    add_rows(tensor.data + columns.first, tensor.stride, factors + tensor.layer, table.layers, batch, sum);
  else if (columns.count > 0)
    add_rows_apart(tensor.data + columns.first, tensor.stride, factors + tensor.layer, table.layers, batch,
                   columns.count, sum);
}

/// Four blocks on a multiprocessor: more of them would spill the draws, fewer leave too few loads in flight.
template <class Source>
__global__ void __launch_bounds__(32 * Layout<Source>::quads, 4)
    release_kernel(const __grid_constant__ GradientTable table, std::uint32_t batch,
                   const __grid_constant__ DrawRun<Source> run, const __grid_constant__ ReleaseRule rule) {
  constexpr std::uint32_t length = Layout<Source>::group;
  __shared__ alignas(16) float z[2 * length];
  // The last tile first: the norms' kernel ended there, and some of it is still in the cache.
  const SumTile tile = tile_of<length>(table, gridDim.x - 1 - blockIdx.x, run.first);
  const GradientTensor& tensor = table.tensors[tile.tensor];
  if (tile.begin >= static_cast<std::int64_t>(tensor.width)) return;
  std::uint32_t step = run.step;
  float scale = rule.scales[tensor.layer];
  if (run.device_step != nullptr) {
    step = run.device_step->next;
    if (step >= run.device_step->end) scale = __int_as_float(0x7fffffff);
  }
  const std::uint32_t warp = threadIdx.x / 32;
  const std::uint32_t lane = threadIdx.x % 32;
  // Where the tensor's draws start between quads, the tile's last ones belong to the next group.
  if (warp == 0 || (warp == 1 && tile.missed != 0))
    share_normals<Source>(run, step, tile.group + warp, lane, z + warp * length);
  const Columns columns = columns_of(tensor, tile.begin + 128 * warp, lane);
  double sum[4] = {0, 0, 0, 0};
  gather_sums(table, tensor, columns, rule.factors, batch, rule.from_sums, sum);
  __syncthreads();
#pragma unroll
  for (std::uint32_t k = 0; k < 4; ++k) {
    if (k >= columns.count) break;
    const std::int64_t j = columns.first + k * columns.apart;
    const double noisy =
        draw::fma(static_cast<double>(scale), static_cast<double>(z[j - tile.begin + tile.missed]), sum[k]);
    tensor.out[j] = static_cast<float>(clip::divide(noisy, rule.denominator));
  }
}

template <class Source>
void launch_release(const GradientTable& table, std::uint64_t batch, const ReleaseRule& rule, const Draws& draws,
                    StreamHandle stream) {
  const std::uint64_t tiles = table.sum_tiles[Layout<Source>::group == 512 ? 0 : 1];
  if (tiles == 0) return;
  const DrawRun<Source> run{Source::expand(draws.key), draws.stream, draws.step, draws.first, draws.device_step};
  release_kernel<Source><<<static_cast<unsigned>(tiles), 32 * Layout<Source>::quads, 0, stream>>>(
      table, static_cast<std::uint32_t>(batch), run, rule);
  check_launch("release_gradients");
}

}  // namespace dpflash::gpu
