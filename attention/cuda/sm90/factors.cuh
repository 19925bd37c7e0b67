// Clip factors of rows: min(1, C / norm), rounded down; 0 for rows that count as zero. Those of keys and values are
// kept as binary16, rounded down again: half the traffic of shared memory.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/sm90/ptx.cuh"
#include "cuda/sm90/tile.cuh"

namespace dpflash::attention::cuda {

/// Norms squared from here on overflow in products: such rows, and rows with an infinity or NaN, are zero.
inline constexpr float kLargestSquare = 0x1p126f;

/// The factor of a row of `width` terms whose computed square of the norm is given. Down by more than the sum, the root
/// and the product can err (width/2 + 4 and 4 units of 2^-24), so that the clipped row lies in the ball.
__device__ __forceinline__ float clip_factor(float square, float clip, int width) {
  if (!(square < kLargestSquare)) return 0.0f;
  const float shrink = __fmaf_rn(static_cast<float>(width / 2 + 12), -0x1p-24f, 1.0f);
  return fminf(1.0f, __fmul_rd(__fmul_rd(clip, rsqrt_approximate(square)), shrink));
}

/// Two numbers in 16 bits, toward zero, the first in the low half.
template <bool f16>
__device__ __forceinline__ std::uint32_t pack_toward_zero(float low, float high) {
  std::uint32_t bits;
  if constexpr (f16)
    asm("cvt.rz.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  else
    asm("cvt.rz.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
template <bool f16>
__device__ __forceinline__ std::uint32_t pack_nearest(float low, float high) {
  std::uint32_t bits;
  if constexpr (f16)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

/// Two elements of a word, the low half first.
template <bool f16>
__device__ __forceinline__ float2 both(std::uint32_t word) {
  if constexpr (f16)
    return __half22float2(*reinterpret_cast<const __half2*>(&word));
  else
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
}

/// The squares of eight elements, added to a sum.
template <bool f16>
__device__ __forceinline__ float squares(uint4 bits, float sum) {
  const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (const std::uint32_t word : words) {
    const float2 x = both<f16>(word);
    sum = __fmaf_rn(x.x, x.x, sum);
    sum = __fmaf_rn(x.y, x.y, sum);
  }
  return sum;
}

/// A row of a tensor.
__device__ __forceinline__ const char* row_of(const View& x, std::int64_t batch, std::int64_t row, int head) {
  return static_cast<const char*>(x.data) + 2 * (batch * x.batch_stride + row * x.row_stride + head * x.head_stride);
}

/// Rows of keys and values of one chunk: a lane has a row of each.
struct Chunk {
  const char* k;
  const char* v;
  std::uint32_t* out;  ///< where the lane's factors go
  int head;
  int plane;
  bool inside;  ///< the lane's row exists; if not, its pointers are those of one that does
  bool any;     ///< some row exists
};

__device__ __forceinline__ Chunk chunk_of(const LaunchNumbers& n, int number) {
  Chunk c;
  c.plane = number / n.chunks;
  const int first = (number - c.plane * n.chunks) * kChunkRows;
  const int batch = c.plane / n.kv_heads;
  c.head = c.plane - batch * n.kv_heads;
  const bool packed = n.cumulative_k != nullptr;
  const std::int64_t offset = packed ? n.cumulative_k[batch] : 0;
  const int keys = packed ? n.cumulative_k[batch + 1] - static_cast<int>(offset) : n.keys;
  const int row = first + static_cast<int>(threadIdx.x % 32);
  c.any = first < keys;
  c.inside = row < keys;
  const std::int64_t at = offset + (c.inside ? row : first);
  c.k = row_of(n.k, packed ? 0 : batch, at, c.head);
  c.v = row_of(n.v, packed ? 0 : batch, at, c.head);
  c.out = static_cast<std::uint32_t*>(n.factors) + at +
          (packed ? c.head * n.total_k : static_cast<std::int64_t>(c.plane) * n.keys);
  return c;
}

/// Brings a chunk's rows near.
template <class T>
__device__ __forceinline__ void prefetch_chunk(const LaunchNumbers& n, int number) {
  const Chunk c = chunk_of(n, number);
  if (!c.any) return;
#pragma unroll
  for (int byte = 0; byte < 2 * T::width; byte += 128) {
    if (byte >= 2 * n.head_dim) break;
    asm volatile("prefetch.global.L2 [%0];" ::"l"(c.k + byte));
    asm volatile("prefetch.global.L2 [%0];" ::"l"(c.v + byte));
  }
}

/// The square of the norm of the lane's row.
template <class T, bool f16>
__device__ __forceinline__ float row_square(const char* row, int columns) {
  constexpr int at_once = 8;
  float sums[4] = {};
#pragma unroll 1
  for (int first = 0; first < columns / 8; first += at_once) {
    uint4 bits[at_once];
#pragma unroll
    for (int u = 0; u < at_once; ++u)
      bits[u] =
          first + u < columns / 8 ? *reinterpret_cast<const uint4*>(row + 16 * (first + u)) : make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int u = 0; u < at_once; ++u) sums[u % 4] = squares<f16>(bits[u], sums[u % 4]);
  }
  return __fadd_rn(__fadd_rn(sums[0], sums[1]), __fadd_rn(sums[2], sums[3]));
}

/// Factors of chunk number `number` of all keys.
template <class T, bool f16>
__device__ __forceinline__ void factor_chunk(const LaunchNumbers& n, int number) {
  const Chunk c = chunk_of(n, number);
  if (c.any) {
    const float k = clip_factor(row_square<T, f16>(c.k, n.head_dim), n.clip_k.value[c.head], T::width);
    const float v = clip_factor(row_square<T, f16>(c.v, n.head_dim), n.clip_v.value[c.head], T::width);
    if (c.inside) *c.out = pack_toward_zero<true>(k, v);
    if (n.clipped != nullptr) {
      const int cut_k = __popc(__ballot_sync(0xffffffffu, c.inside && k < 1.0f));
      const int cut_v = __popc(__ballot_sync(0xffffffffu, c.inside && v < 1.0f));
      if (threadIdx.x % 32 == 0) {
        atomicAdd(n.clipped + 3 * c.head + 1, static_cast<unsigned long long>(cut_k));
        atomicAdd(n.clipped + 3 * c.head + 2, static_cast<unsigned long long>(cut_v));
      }
    }
  }
  __syncwarp();
  if (threadIdx.x % 32 == 0) add_release(n.ready + c.plane, 1);
}

/// Until tiles have come near a chunk: computed all at once, factors would push from the cache what tiles read now.
__device__ __forceinline__ void wait_for_turn(const LaunchNumbers& n, int number) {
  const int plane = number / n.chunks;
  for (;;) {
    const int taken = static_cast<int>(load_relaxed(n.counters));
    if (plane * n.group * n.q_tiles <= taken + 2 * static_cast<int>(gridDim.x) + n.q_tiles * n.group) return;
    __nanosleep(500);
  }
}

/// Takes chunks below `end` from a counter until there are none left. Chunks are in the order in which tiles need them;
/// taking them one by one, blocks that are not running hold nothing back.
template <class T, bool f16, bool paced>
__device__ __forceinline__ void factor_chunks(const LaunchNumbers& n, std::uint32_t* counter, int begin, int end) {
  const auto take = [&] {
    int number = 0;
    if (threadIdx.x % 32 == 0) number = begin + static_cast<int>(atomicAdd(counter, 1u));
    number = __shfl_sync(0xffffffffu, number, 0);
    if (number < end) prefetch_chunk<T>(n, number);
    return number;
  };
  for (int number = take(); number < end;) {
    const int following = take();
    if (paced) wait_for_turn(n, number);
    factor_chunk<T, f16>(n, number);
    number = following;
  }
}

}  // namespace dpflash::attention::cuda
