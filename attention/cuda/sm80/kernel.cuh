// Clipped, noisy attention with mma.sync: a block a tile of query rows, which walks over tiles of 64 keys.
// Layout and budgets: docs/design/attention-sm80.md.
#pragma once

#include <cstdint>

#include "cuda/sm80/clip.cuh"
#include "cuda/sm80/epilogue.cuh"
#include "cuda/sm80/launch.hpp"
#include "cuda/sm80/tile.cuh"
#include "cuda/sm80/work.cuh"
#include "dpflash/gpu/error.hpp"

namespace dpflash::attention::cuda::sm80 {

/// Sizes of a block; `groups` of 16 query rows a warp. Offsets are bytes of shared memory.
template <int head_dim_, int warps_, int groups_>
struct Plan {
  static constexpr int head_dim = head_dim_;
  static constexpr int warps = warps_;
  static constexpr int groups = groups_;
  static constexpr int threads = kWarp * warps;
  static constexpr int warp_rows = 16 * groups;
  static constexpr int rows = warp_rows * warps;
  static constexpr int keys = 64;
  static constexpr int blocks = groups == 1 ? 1 : 2;  ///< on a multiprocessor, for registers
  static constexpr int factor_slots = 3;
  static constexpr int key_tile = rows * head_dim * 2;
  static constexpr int value_tile = key_tile + keys * head_dim * 2;
  static constexpr int factors = value_tile + keys * head_dim * 2;
  static constexpr int scales = factors + factor_slots * keys * static_cast<int>(sizeof(RowFactors));
  static constexpr int bytes = scales + rows * static_cast<int>(sizeof(float));
  static_assert(rows * head_dim * 4 <= factors, "the answer takes the place of the tiles");
  static_assert(key_tile % 128 == 0 && value_tile % 128 == 0);
};

template <class Plan>
using Scores = float[Plan::groups][Plan::keys / 8][4];
template <class Plan>
using Answer = float[Plan::groups][Plan::head_dim / 8][4];
template <class Plan>
using Probabilities = std::uint32_t[Plan::groups][Plan::keys / 16][4];

/// Clip factors of the query tile, times the score's scale, toward zero; zeroes rows that are taken as zero.
template <class T, class Plan>
__device__ __forceinline__ void scale_queries(const Launch& launch, const Work& work, unsigned char* shared) {
  using Rows = TileRows<Plan::head_dim>;
  constexpr int chunks = Plan::head_dim / 8;
  constexpr int at_once = Plan::threads / kNormLanes;
  constexpr int passes = Plan::rows / at_once;
  static_assert(passes <= kNormLanes, "a lane finishes the row of one pass");
  const int lane = static_cast<int>(threadIdx.x) % kNormLanes;
  const int first = static_cast<int>(threadIdx.x) / kNormLanes;
  float mine = 0;
#pragma unroll 1
  for (int pass = 0; pass < passes; ++pass) {
    const int row = first + pass * at_once;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < chunks; i += kNormLanes)
      if (i + lane < chunks)
        sum = add_squares<T>(*reinterpret_cast<const uint4*>(shared + Rows::offset(row, i + lane)), sum);
    sum = sum_of_lanes(sum);
    if (pass == lane) mine = sum;
    // Written back whatever the sum is: time does not tell.
    const std::uint32_t keep = is_usable(sum) ? 0xffffffffu : 0;
#pragma unroll
    for (int i = 0; i < chunks; i += kNormLanes)
      if (i + lane < chunks) {
        auto* const chunk = reinterpret_cast<uint4*>(shared + Rows::offset(row, i + lane));
        *chunk = uint4{chunk->x & keep, chunk->y & keep, chunk->z & keep, chunk->w & keep};
      }
  }
  if (lane >= passes) return;
  const int row = first + lane * at_once;
  const float factor = clip_factor(mine, launch.problem.clip_q.value[work.kv_head], launch.problem.head_dim);
  reinterpret_cast<float*>(shared + Plan::scales)[row] = __fmul_rz(factor, launch.score_scale);
  if (launch.problem.clipped != nullptr && factor < 1 && work.first_row + row < work.queries)
    atomicAdd(launch.problem.clipped + 3 * work.kv_head, 1ull);
}

/// q k of the warp's rows and the tile's keys. `query` and `key` are the lane's rows of their first matrices.
template <class T, class Plan>
__device__ __forceinline__ void multiply_keys(Scores<Plan>& s, std::uint32_t query, std::uint32_t key) {
  using Rows = TileRows<Plan::head_dim>;
#pragma unroll
  for (int g = 0; g < Plan::groups; ++g)
#pragma unroll
    for (int n = 0; n < Plan::keys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) s[g][n][i] = 0;
#pragma unroll
  for (int step = 0; step < Plan::head_dim / 16; ++step) {
    std::uint32_t a[Plan::groups][4];
#pragma unroll
    for (int g = 0; g < Plan::groups; ++g)
      load_matrices(a[g], Rows::ahead(query, step) + static_cast<std::uint32_t>(g * 16 * Rows::bytes));
#pragma unroll
    for (int n = 0; n < Plan::keys / 16; ++n) {
      std::uint32_t b[4];
      load_matrices(b, Rows::ahead(key, step) + static_cast<std::uint32_t>(n * 16 * Rows::bytes));
#pragma unroll
      for (int g = 0; g < Plan::groups; ++g) {
        multiply<T>(s[g][2 * n], a[g], b[0], b[1]);
        multiply<T>(s[g][2 * n + 1], a[g], b[2], b[3]);
      }
    }
  }
}

/// Products to log2 p: clip factors, scale and softcap. `factors` are those of the lane's first two keys.
template <bool softcap, class Plan>
__device__ __forceinline__ void scale_scores(Scores<Plan>& s, const float (&scale)[Plan::groups][2],
                                             const RowFactors* factors, float softcap_log2) {
#pragma unroll
  for (int n = 0; n < Plan::keys / 8; ++n) {
    const float4 pair = *reinterpret_cast<const float4*>(factors + 8 * n);
#pragma unroll
    for (int g = 0; g < Plan::groups; ++g)
#pragma unroll
      for (int i = 0; i < 4; ++i) s[g][n][i] = scale[g][i / 2] * ((i % 2 == 0 ? pair.x : pair.z) * s[g][n][i]);
  }
  if constexpr (softcap) {
#pragma unroll
    for (int n = 0; n < Plan::keys / 8; ++n)
#pragma unroll
      for (int g = 0; g < Plan::groups; ++g)
#pragma unroll
        for (int i = 0; i < 4; ++i) s[g][n][i] = softcap_log2 * tanhf(s[g][n][i]);
  }
}

/// How many of a lane's keys in a tile, 8 n and 8 n + 1, are below x.
__device__ __forceinline__ int keys_below(int x) {
  const int inside = min(max(x, 0), 64);
  return inside / 8 * 2 + min(inside % 8, 2);
}

/// -infinity where a row does not see a key; `row` and `key` are the lane's first.
template <class Plan>
__device__ __forceinline__ void hide_scores(Scores<Plan>& s, const Mask& mask, int row, int key) {
  static_assert(Plan::keys == 64);
#pragma unroll
  for (int g = 0; g < Plan::groups; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      // A bit a key: compared one by one the keys would fill the predicate registers.
      const int i = row + 16 * g + 8 * half;
      const std::uint32_t seen =
          ((1u << keys_below(mask.end(i) - key)) - 1) & ~((1u << keys_below(mask.begin(i) - key)) - 1);
#pragma unroll
      for (int n = 0; n < Plan::keys / 8; ++n)
#pragma unroll
        for (int c = 0; c < 2; ++c)
          if ((seen >> (2 * n + c) & 1) == 0) s[g][n][2 * half + c] = __int_as_float(0xff800000);
    }
}

/// p = 2^s; sums += p; p c toward zero as the left factor of the next product: accumulators of 16 keys are laid out as
/// its four registers.
template <class T, class Plan>
__device__ __forceinline__ void exponentiate(Probabilities<Plan>& p, float (&sums)[Plan::groups][2], Scores<Plan>& s,
                                             const RowFactors* factors) {
  float tile_sums[Plan::groups][2] = {};
#pragma unroll
  for (int n = 0; n < Plan::keys / 8; ++n) {
    const float4 pair = *reinterpret_cast<const float4*>(factors + 8 * n);
#pragma unroll
    for (int g = 0; g < Plan::groups; ++g)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float p0 = power_of_two(s[g][n][2 * half]);
        const float p1 = power_of_two(s[g][n][2 * half + 1]);
        tile_sums[g][half] += p0 + p1;
        p[g][n / 2][n % 2 * 2 + half] = pair_of_probabilities<T>(p0 * pair.y, p1 * pair.w);
      }
  }
#pragma unroll
  for (int g = 0; g < Plan::groups; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half) sums[g][half] += tile_sums[g][half];
}

/// out += p v. The product of a tile is summed by itself and added in fp32: the matrix unit truncates what it adds to a
/// large accumulator, and the error would grow with the number of keys.
template <class T, class Plan>
__device__ __forceinline__ void multiply_values(Answer<Plan>& out, const Probabilities<Plan>& p, std::uint32_t value) {
  using Rows = TileRows<Plan::head_dim>;
  // Enough independent accumulators to cover the latency of the matrix unit.
  constexpr int wide = Plan::groups == 1 ? 2 : 1;
#pragma unroll
  for (int d = 0; d < Plan::head_dim / 16; d += wide) {
    float sum[wide][Plan::groups][2][4] = {};
#pragma unroll
    for (int k = 0; k < Plan::keys / 16; ++k)
#pragma unroll
      for (int w = 0; w < wide; ++w) {
        std::uint32_t b[4];
        load_transposed(b, Rows::ahead(value, d + w) + static_cast<std::uint32_t>(k * 16 * Rows::bytes));
#pragma unroll
        for (int g = 0; g < Plan::groups; ++g) {
          multiply<T>(sum[w][g][0], p[g][k], b[0], b[1]);
          multiply<T>(sum[w][g][1], p[g][k], b[2], b[3]);
        }
      }
#pragma unroll
    for (int w = 0; w < wide; ++w)
#pragma unroll
      for (int g = 0; g < Plan::groups; ++g)
#pragma unroll
        for (int i = 0; i < 8; ++i) out[g][2 * (d + w) + i / 4][i % 4] += sum[w][g][i / 4][i % 4];
  }
}

}  // namespace dpflash::attention::cuda::sm80
