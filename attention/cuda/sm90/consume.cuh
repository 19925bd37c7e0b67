// What a warpgroup does with its 64 rows: scores, exponentials, values, and the noisy answer.
#pragma once

#include "cuda/sm90/factors.cuh"
#include "cuda/sm90/noise.cuh"
#include "cuda/sm90/products.cuh"

namespace dpflash::attention::cuda {

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

/// A tile's clip factors as a thread reads them: of its columns, 16 bytes for two groups of eight. One read is ahead.
struct Factors {
  const float4* from;
  float4 next;
  __device__ __forceinline__ void fetch(const float4* at) {
    from = at;
    next = at[0];
  }
  /// Those of groups 2 `two` and 2 `two` + 1 of `groups` in all.
  __device__ __forceinline__ float4 take(int two, int groups) {
    const float4 now = next;
    if (two + 1 < groups / 2) next = from[4 * (two + 1)];
    return now;
  }
};

/// Scores to exponentials times the clip factors of values, and the row sums of the exponentials alone. `scale` of the
/// thread's two rows.
template <class T, bool masked, bool softcap>
__device__ __forceinline__ void exponentials(float cap, float (&s)[T::keys / 2], Factors& keys, Factors& values,
                                             const Limits& limits, const float (&scale)[2], float (&sums)[2]) {
  [[maybe_unused]] const float to_unit = softcap ? __fdividef(2.0f, cap) : 0.0f;
  [[maybe_unused]] const float from_unit = __fmul_rn(cap, 1.44269504f);
#pragma unroll
  for (int two = 0; two < T::keys / 16; ++two) {
    const float4 b = keys.take(two, T::keys / 8);
    const float4 c = values.take(two, T::keys / 8);
    const float of_k[4] = {b.x, b.y, b.z, b.w};
    const float of_v[4] = {c.x, c.y, c.z, c.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int r = i / 2 % 2;
      const int pair = i / 4 * 2 + i % 2;
      float e = __fmul_rn(__fmul_rn(s[8 * two + i], of_k[pair]), scale[r]);
      if constexpr (softcap) e = capped(e, to_unit, from_unit);
      if constexpr (masked) {
        const int column = 16 * two + i / 4 * 8 + i % 2;
        if (static_cast<unsigned>(column - limits.low[r]) >= limits.count[r]) e = __int_as_float(0xff800000);
      }
      const float p = exp2_approximate(e);
      sums[r] = __fadd_rn(sums[r], p);
      s[8 * two + i] = __fmul_rn(p, of_v[pair]);
    }
  }
}

/// One thread of the warpgroup: the copy of its rows of q, which nothing reads any more.
template <class T>
__device__ __forceinline__ void load_queries(const LaunchNumbers& n, const Work& w, const CUtensorMap* q_map, char* q,
                                             Barrier& full, int warpgroup) {
  full.arrive_and_expect(T::q_bytes / T::groups);
#pragma unroll
  for (int p = 0; p < T::panels; ++p)
    copy_box(q + p * (64 * 128), q_map, &full, 64 * p, w.q_offset + w.first + 64 * warpgroup, w.head,
             n.cumulative_q != nullptr ? 0 : w.batch, Keep::first);
}

/// Clip factors of the warpgroup's rows of q; rows that count as zero are zeroed where they lie.
template <class T, bool f16>
__device__ __forceinline__ void query_factors(const LaunchNumbers& n, const Work& w, char* q, int warpgroup,
                                              float (&factors)[2]) {
  const int thread = static_cast<int>(threadIdx.x % 128);
  const int row = thread / 2;
  const int half = thread % 2;
  // A row is 8 chunks of 16 bytes a panel, swizzled; two threads a row.
  constexpr int chunks = 4 * T::panels;
  const auto chunk = [&](int i) {
    return reinterpret_cast<uint4*>(q + i / 4 * (64 * 128) + row * 128 + ((4 * half + i % 4) ^ (row % 8)) * 16);
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
  if (n.clipped != nullptr && half == 0 && factor < 1.0f && w.first + 64 * warpgroup + row < w.rows)
    atomicAdd(n.clipped + 3 * kv_head, 1ull);
  fence_async_proxy();
  wait_named(1 + warpgroup, 128);
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
