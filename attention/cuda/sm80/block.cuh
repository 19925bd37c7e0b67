// The kernel: what a block loads when, and what becomes of its rows.
#pragma once

#include <algorithm>

#include "cuda/sm80/kernel.cuh"

namespace dpflash::attention::cuda::sm80 {

/// Key and value tiles of a sequence's head, and their factors, on their way to shared memory.
template <class T, class Plan>
struct KeyLoader {
  TileCopy<T, Plan::head_dim, Plan::threads> keys;
  TileCopy<T, Plan::head_dim, Plan::threads> values;
  const RowFactors* from;
  unsigned char* shared;
  int count;  ///< keys of the sequence

  __device__ __forceinline__ KeyLoader(const Launch& launch, const Work& work, unsigned char* base)
      : keys{first_of<const T>(launch.problem.k, work.batch, work.key_row, work.kv_head), launch.problem.k.row_stride,
             launch.problem.head_dim / 8, launch.aligned_k},
        values{first_of<const T>(launch.problem.v, work.batch, work.key_row, work.kv_head), launch.problem.v.row_stride,
               launch.problem.head_dim / 8, launch.aligned_v},
        from(launch.factors + (launch.problem.cumulative_k != nullptr
                                   ? work.kv_head * launch.problem.total_k + work.key_row
                                   : (static_cast<std::int64_t>(work.batch) * launch.problem.kv_heads + work.kv_head) *
                                         launch.problem.keys)),
        shared(base),
        count(work.keys) {}

  __device__ __forceinline__ const RowFactors* factors(int slot) const {
    return reinterpret_cast<const RowFactors*>(shared + Plan::factors) + slot * Plan::keys;
  }
  __device__ __forceinline__ void load_factors(int slot, int tile) const {
    const int row = static_cast<int>(threadIdx.x);
    const int key = tile * Plan::keys + row;
    if (row < Plan::keys)
      copy_8(shared_address(factors(slot) + row), from + (key < count ? key : 0), key < count ? 8 : 0);
  }
  /// Rows that count as zero are not even read: 0 times infinity would be NaN.
  __device__ __forceinline__ void load_keys(int slot, int tile) const {
    const RowFactors* const f = factors(slot);
    keys.template operator()<Plan::keys>(shared_address(shared + Plan::key_tile), tile * Plan::keys, count,
                                         [&](int row) { return f[row].key != 0; });
  }
  __device__ __forceinline__ void load_values(int slot, int tile) const {
    const RowFactors* const f = factors(slot);
    values.template operator()<Plan::keys>(shared_address(shared + Plan::value_tile), tile * Plan::keys, count,
                                           [&](int row) { return f[row].value != 0; });
  }
};

/// Tiles that any row of the block sees.
template <class Plan>
__device__ __forceinline__ int2 tiles_of(const Mask& mask, const Work& work) {
  const int last = min(work.first_row + Plan::rows, work.queries) - 1;
  return {mask.begin(work.first_row) / Plan::keys, (max(mask.end(last), 0) + Plan::keys - 1) / Plan::keys};
}

/// The block's query tile with its scales, and the first key tile under way.
template <class T, class Plan>
__device__ __forceinline__ void start(const Launch& launch, const Work& work, const KeyLoader<T, Plan>& loader,
                                      int2 tiles, unsigned char* shared) {
  const TileCopy<T, Plan::head_dim, Plan::threads> queries{
      first_of<const T>(launch.problem.q, work.batch, work.query_row, work.head), launch.problem.q.row_stride,
      launch.problem.head_dim / 8, launch.aligned_q};
  loader.load_factors(0, tiles.x);
  loader.load_factors(1, tiles.x + 1);
  close_copies();
  queries.template operator()<Plan::rows>(shared_address(shared), work.first_row, work.queries,
                                          [](int) { return true; });
  close_copies();
  wait_copies<1>();
  __syncthreads();
  if (tiles.x < tiles.y) loader.load_keys(0, tiles.x);
  close_copies();
  wait_copies<1>();
  __syncthreads();
  scale_queries<T, Plan>(launch, work, shared);
  __syncthreads();
}

/// out = sum of p c v, sums = sum of p, over all keys that the warp's rows see.
template <class T, class Plan, bool softcap>
__device__ __forceinline__ void attend(const Launch& launch, const Work& work, unsigned char* shared, Answer<Plan>& out,
                                       float (&sums)[Plan::groups][2]) {
  using Rows = TileRows<Plan::head_dim>;
  const Mask mask(launch.problem, work);
  const KeyLoader<T, Plan> loader(launch, work, shared);
  const int2 tiles = tiles_of<Plan>(mask, work);
  start<T, Plan>(launch, work, loader, tiles, shared);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * Plan::warp_rows;
  const int first = work.first_row + warp_row;
  const int last = min(first + Plan::warp_rows, work.queries) - 1;
  // Matrices of a (16 rows, 16 columns): rows 0-7 and 8-15 of columns 0-7, then of 8-15.
  const std::uint32_t query = shared_address(shared) + Rows::offset(warp_row + lane % 16, lane / 16);
  // Of q k, b for 16 keys: columns 0-7 and 8-15 of keys 0-7, then of keys 8-15.
  const std::uint32_t key =
      shared_address(shared + Plan::key_tile) + Rows::offset(lane % 8 + lane / 16 * 8, lane / 8 % 2);
  // Of p v, b for 16 columns, transposed: keys 0-7 and 8-15 of columns 0-7, then of columns 8-15.
  const std::uint32_t value = shared_address(shared + Plan::value_tile) + Rows::offset(lane % 16, lane / 16);
  float scale[Plan::groups][2];
#pragma unroll
  for (int i = 0; i < 2 * Plan::groups; ++i)
    scale[i / 2][i % 2] = reinterpret_cast<const float*>(shared + Plan::scales)[warp_row + 8 * i + lane / 4];
  int slot = 0;
#pragma unroll 1
  for (int tile = tiles.x; tile < tiles.y; ++tile) {
    const int next = slot == 2 ? 0 : slot + 1;
    const int begin = tile * Plan::keys;
    // Masks and lengths are public: a warp may leave out what they hide.
    const bool sees = first <= last && begin < mask.end(last) && begin + Plan::keys > mask.begin(first);
    const RowFactors* const factors = loader.factors(slot) + lane % 4 * 2;
    Probabilities<Plan> p;
    wait_copies<0>();
    __syncthreads();  // The keys are there, and no warp needs the last values any more.
    loader.load_values(slot, tile);
    close_copies();
    if (sees) {
      Scores<Plan> s;
      multiply_keys<T, Plan>(s, afresh(query), afresh(key));
      scale_scores<softcap, Plan>(s, scale, factors, launch.softcap_log2);
      if (begin < mask.begin(last) || begin + Plan::keys > mask.end(first))
        hide_scores<Plan>(s, mask, afresh(first) + lane / 4, begin + lane % 4 * 2);
      exponentiate<T, Plan>(p, sums, s, factors);
    }
    wait_copies<0>();
    __syncthreads();  // The values are there, and no warp needs these keys any more.
    if (tile + 1 < tiles.y) {
      loader.load_keys(next, tile + 1);
      loader.load_factors(next == 2 ? 0 : next + 1, tile + 2);
    }
    close_copies();
    if (sees) multiply_values<T, Plan>(out, p, afresh(value));
    slot = next;
  }
}

/// Divides by the sums, writes lse, and leaves the answer in shared memory as write_rows wants it.
template <class Plan>
__device__ __forceinline__ void divide(const Launch& launch, const Work& work, int first_row, float4* staged,
                                       const Answer<Plan>& out, const float (&sums)[Plan::groups][2]) {
  const Forward& problem = launch.problem;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int g = 0; g < Plan::groups; ++g) {
    float inverse[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      // Four lanes share a row.
      float sum = sums[g][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      inverse[half] = sum > 0 ? __frcp_rn(sum) : 0.0f;
      const int row = first_row + 16 * g + 8 * half + lane / 4;
      if (problem.lse == nullptr || lane % 4 != 0 || row >= work.queries) continue;
      const std::int64_t head_row = problem.cumulative_q != nullptr
                                        ? work.head * problem.total_q + work.query_row
                                        : static_cast<std::int64_t>(work.plane) * problem.rows;
      problem.lse[head_row + row] = logf(sum);
    }
#pragma unroll
    for (int n = 0; n < Plan::head_dim / 8; ++n)
      staged[(g * (Plan::head_dim / 8) + n) * kWarp + lane] = float4{
          out[g][n][0] * inverse[0], out[g][n][1] * inverse[0], out[g][n][2] * inverse[1], out[g][n][3] * inverse[1]};
  }
}

/// Softcaps have their own kernel: a hyperbolic tangent needs registers.
template <class T, class Plan, bool softcap>
__global__ void __launch_bounds__(Plan::threads, Plan::blocks) attention_kernel(const __grid_constant__ Launch launch) {
  extern __shared__ __align__(128) unsigned char shared[];
  const Forward& problem = launch.problem;
  const Work work = work_of_block(launch, Plan::rows);
  if (work.first_row >= work.queries) return;
  Answer<Plan> answer = {};
  float sums[Plan::groups][2] = {};
  attend<T, Plan, softcap>(launch, work, shared, answer, sums);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  WarpRows rows;
  rows.staged = reinterpret_cast<float4*>(shared) + warp * (Plan::warp_rows * Plan::head_dim / 4);
  rows.plane = static_cast<std::uint64_t>(work.plane);
  rows.head = work.head;
  rows.groups = Plan::groups;
  rows.first_row = work.first_row + warp * Plan::warp_rows;
  rows.queries = work.queries;
  __syncthreads();  // The tiles' place is taken.
  divide<Plan>(launch, work, rows.first_row, rows.staged, answer, sums);
  const RowsOut<T> out{first_of<T>(problem.out, work.batch, work.query_row, work.head), problem.out.row_stride,
                       launch.aligned_out};
  RowsOut<T> clean{nullptr, problem.clean.row_stride, launch.aligned_clean};
  if (problem.clean.data != nullptr)
    clean.first_row = first_of<T>(problem.clean, work.batch, work.query_row, work.head);
  switch (problem.draws.bits) {
    case draw::Bits::philox:
      return write_rows<draw::Philox>(launch, rows, out, clean);
    case draw::Bits::chacha12:
      return write_rows<draw::ChaCha<12>>(launch, rows, out, clean);
    case draw::Bits::chacha20:
      return write_rows<draw::ChaCha<20>>(launch, rows, out, clean);
  }
}

template <class T, class Plan>
void launch_plan(Launch& launch, gpu::StreamHandle stream) {
  const auto kernel = launch.softcap_log2 > 0 ? attention_kernel<T, Plan, true> : attention_kernel<T, Plan, false>;
  gpu::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Plan::bytes),
             "cudaFuncSetAttribute");
  launch.row_tiles = (static_cast<std::uint32_t>(launch.problem.rows) + Plan::rows - 1) / Plan::rows;
  launch.planes_together = std::min(launch.planes_together, static_cast<std::uint32_t>(kMostBlocks / launch.row_tiles));
  const std::uint64_t planes =
      static_cast<std::uint64_t>(launch.problem.batch) * static_cast<std::uint64_t>(launch.problem.heads);
  in_slices(planes, launch.row_tiles, launch.planes_together, [&](std::uint32_t first, unsigned blocks) {
    launch.first_plane = first;
    kernel<<<blocks, Plan::threads, Plan::bytes, stream>>>(launch);
    gpu::check_launch("attention");
  });
}

/// 128 rows a block: four warps of 32 while a warp's answer fits in its registers, else eight warps of 16. Devices with
/// little shared memory get 64 rows where 128 do not fit.
template <class T, int head_dim>
void launch_attention(Launch& launch, gpu::StreamHandle stream) {
  if constexpr (head_dim <= 128) {
    launch_plan<T, Plan<head_dim, 4, 2>>(launch, stream);
  } else {
    using Whole = Plan<head_dim, 8, 1>;
    constexpr int least = 99 * 1024;  // What a block may have on every device of compute capability 8.0 and up.
    if constexpr (Whole::bytes > least) {
      int device = 0;
      int most = 0;
      gpu::check(cudaGetDevice(&device), "cudaGetDevice");
      gpu::check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
                 "cudaDeviceGetAttribute");
      using Half = Plan<head_dim, 4, 1>;
      static_assert(Half::bytes <= least);
      if (most < Whole::bytes) return launch_plan<T, Half>(launch, stream);
    }
    launch_plan<T, Whole>(launch, stream);
  }
}

}  // namespace dpflash::attention::cuda::sm80
