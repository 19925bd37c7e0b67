// What a warpgroup does with its 64 rows: scores, exponentials, values, and the noisy answer.
#pragma once

#include "cuda/sm90/factors.cuh"
#include "cuda/sm90/noise.cuh"
#include "cuda/sm90/products.cuh"

namespace dpflash::attention::cuda {

/// Pairs of columns whose factors are fetched ahead of their use.
inline constexpr int kFactorsAhead = 3;

/// Keys that a thread's two rows see, counted from its first key of a tile: [low, low + count).
struct Limits {
  int low[2];
  unsigned count[2];
};

/// c tanh(s / c) of a score in units of log2; absolute error 2e-7 c.
__device__ __forceinline__ float capped(float e, float to_unit, float from_unit) {
  // tanh(y) = 1 - 2 / (exp(2y) + 1)
  const float y = __fmul_rn(e, to_unit);
  const float t = exp2_approximate(y);
  return __fmul_rn(from_unit, __fmaf_rn(-2.0f, __fdividef(1.0f, __fadd_rn(t, 1.0f)), 1.0f));
}

/// Scores to exponentials times the clip factor of v, and their row sums without it. `factors`: the thread's pairs of
/// keys, eight keys apart; `scale` of its two rows.
template <class T, bool masked, bool softcap>
__device__ __forceinline__ void exponentials(float cap, float (&s)[T::keys / 2], const uint2 (&first)[kFactorsAhead],
                                             const uint2* factors, const Limits& limits, const float (&scale)[2],
                                             float (&sums)[2]) {
  [[maybe_unused]] const float to_unit = softcap ? __fdividef(2.0f, cap) : 0.0f;
  [[maybe_unused]] const float from_unit = __fmul_rn(cap, 1.44269504f);
  uint2 next[kFactorsAhead];
#pragma unroll
  for (int j = 0; j < kFactorsAhead; ++j) next[j] = first[j];
#pragma unroll
  for (int j = 0; j < T::keys / 8; ++j) {
    const float2 f[2] = {both<true>(next[j % kFactorsAhead].x), both<true>(next[j % kFactorsAhead].y)};
    if (j + kFactorsAhead < T::keys / 8) next[j % kFactorsAhead] = factors[4 * (j + kFactorsAhead)];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = i / 2;
      float e = __fmul_rn(__fmul_rn(s[4 * j + i], f[i % 2].x), scale[r]);
      if constexpr (softcap) e = capped(e, to_unit, from_unit);
      if constexpr (masked) {
        if (static_cast<unsigned>(8 * j + i % 2 - limits.low[r]) >= limits.count[r]) e = __int_as_float(0xff800000);
      }
      const float p = exp2_approximate(e);
      sums[r] = __fadd_rn(sums[r], p);
      s[4 * j + i] = __fmul_rn(p, f[i % 2].y);
    }
  }
}

/// Clip factors of the warpgroup's rows of q; rows that count as zero are zeroed where they lie.
template <class T, bool f16>
__device__ __forceinline__ void query_factors(const LaunchNumbers& n, const Work& w, char* q, int warpgroup,
                                              float (&factors)[2]) {
  const int thread = static_cast<int>(threadIdx.x % 128);
  const int row = 64 * warpgroup + thread / 2;
  const int half = thread % 2;
  // A row is 8 chunks of 16 bytes a panel, swizzled; two threads a row.
  constexpr int chunks = 4 * T::panels;
  const auto chunk = [&](int i) {
    return reinterpret_cast<uint4*>(q + i / 4 * (T::rows * 128) + row * 128 + ((4 * half + i % 4) ^ (row % 8)) * 16);
  };
  float part[4] = {};
#pragma unroll
  for (int i = 0; i < chunks; ++i) part[i % 4] = squares<f16>(*chunk(i), part[i % 4]);
  float sum = __fadd_rn(__fadd_rn(part[0], part[1]), __fadd_rn(part[2], part[3]));
  sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 1));
  const int kv_head = w.head / n.group;
  const float factor = clip_factor(sum, n.clip_q.value[kv_head], T::width);
  if (factor == 0.0f) {
#pragma unroll
    for (int i = 0; i < chunks; ++i) *chunk(i) = make_uint4(0, 0, 0, 0);
  }
  if (n.clipped != nullptr && half == 0 && factor < 1.0f && w.first + row < w.rows)
    atomicAdd(n.clipped + 3 * kv_head, 1ull);
  fence_async_proxy();
  wait_named(4 + warpgroup, 128);
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int r = 0; r < 2; ++r)
    factors[r] = __fmul_rn(__shfl_sync(0xffffffffu, factor, 2 * (lane / 4 + 8 * r)), n.scale_log2);
}

/// Of a pair, the first goes to the neighbour at `distance` when this lane's bit is set, else the second.
__device__ __forceinline__ void exchange(std::uint32_t& first, std::uint32_t& second, int distance) {
  const bool upper = (threadIdx.x & static_cast<unsigned>(distance)) != 0;
  const std::uint32_t got = __shfl_xor_sync(0xffffffffu, upper ? first : second, distance);
  first = upper ? got : first;
  second = upper ? second : got;
}

/// Four lanes with two columns each of four eighths give each lane one eighth: 16 bytes, written at once.
__device__ __forceinline__ uint4 transpose_four(std::uint32_t x0, std::uint32_t x1, std::uint32_t x2,
                                                std::uint32_t x3) {
  exchange(x0, x1, 1);
  exchange(x2, x3, 1);
  exchange(x0, x2, 2);
  exchange(x1, x3, 2);
  return make_uint4(x0, x1, x2, x3);
}

/// Columns 32 block + 8 (lane mod 4) and the next seven of a row, when they are there.
__device__ __forceinline__ void store_row(const View& view, const LaunchNumbers& n, const Work& w, int row, int block,
                                          uint4 bits) {
  const int column = 32 * block + 8 * static_cast<int>(threadIdx.x % 4);
  if (row >= w.rows || column >= n.head_dim) return;
  char* const to =
      static_cast<char*>(view.data) +
      2 * (w.batch * (n.cumulative_q != nullptr ? 0 : view.batch_stride) +
           (static_cast<std::int64_t>(w.q_offset) + row) * view.row_stride + w.head * view.head_stride + column);
  *reinterpret_cast<uint4*>(to) = bits;
}

/// One block of 32 columns of the answer, both rows of the thread: x as the accumulators are.
template <bool f16>
__device__ __forceinline__ void store_block(const View& view, const LaunchNumbers& n, const Work& w,
                                            const int (&row)[2], int block, const float (&x)[16]) {
  store_row(view, n, w, row[0], block,
            transpose_four(pack_nearest<f16>(x[0], x[1]), pack_nearest<f16>(x[4], x[5]), pack_nearest<f16>(x[8], x[9]),
                           pack_nearest<f16>(x[12], x[13])));
  store_row(view, n, w, row[1], block,
            transpose_four(pack_nearest<f16>(x[2], x[3]), pack_nearest<f16>(x[6], x[7]),
                           pack_nearest<f16>(x[10], x[11]), pack_nearest<f16>(x[14], x[15])));
}

}  // namespace dpflash::attention::cuda
