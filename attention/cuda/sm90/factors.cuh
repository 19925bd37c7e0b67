// Clip factors of rows: min(1, C / norm), rounded down; 0 for rows that count as zero.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "sm90/ptx.cuh"
#include "sm90/tile.cuh"

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

/// The squares of eight elements, added up.
template <bool f16>
__device__ __forceinline__ float squares(uint4 bits) {
  const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float low;
    float high;
    if constexpr (f16) {
      const float2 both = __half22float2(*reinterpret_cast<const __half2*>(&words[i]));
      low = both.x;
      high = both.y;
    } else {
      low = __uint_as_float(words[i] << 16);
      high = __uint_as_float(words[i] & 0xffff0000u);
    }
    sum = __fmaf_rn(low, low, sum);
    sum = __fmaf_rn(high, high, sum);
  }
  return sum;
}

/// Factors of a chunk of rows of one tensor, by one warp.
template <class T, bool f16>
struct ChunkFactors {
  static constexpr int lanes = T::width <= 64 ? 8 : T::width <= 128 ? 16 : 32;  ///< a row
  static constexpr int rows_at_once = 32 / lanes;
  static constexpr int loads = kChunkRows / rows_at_once;
  static constexpr int at_once = loads < 8 ? loads : 8;

  uint4 bits[at_once];

  __device__ __forceinline__ static int column() { return static_cast<int>(threadIdx.x) % lanes; }
  __device__ __forceinline__ static int row(int load) {
    return load * rows_at_once + static_cast<int>(threadIdx.x) % 32 / lanes;
  }
  /// All loads at once: rows and columns outside of the tensor read one inside, and count as zero.
  __device__ __forceinline__ void load(const char* base, std::int64_t row_bytes, int rows, int columns, int first) {
    const char* const from = base + (column() * 8 < columns ? column() * 16 : 0);
#pragma unroll
    for (int u = 0; u < at_once; ++u) {
      const char* const at = from + min(row(first + u), rows - 1) * row_bytes;
      asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(bits[u].x), "=r"(bits[u].y), "=r"(bits[u].z), "=r"(bits[u].w)
                   : "l"(at));
    }
    if (column() * 8 >= columns)
      for (auto& b : bits) b = make_uint4(0, 0, 0, 0);
  }
  __device__ __forceinline__ unsigned finish(int rows, float clip, float* out, int first) {
    unsigned cut = 0;
#pragma unroll
    for (int u = 0; u < at_once; ++u) {
      const int r = row(first + u);
      float sum = squares<f16>(bits[u]);
#pragma unroll
      for (int d = lanes / 2; d > 0; d /= 2) sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, d));
      const float factor = clip_factor(sum, clip, T::width);
      if (column() == 0 && r < rows) {
        out[2 * r] = factor;
        cut += factor < 1.0f;
      }
    }
    return cut;
  }
};

/// A tensor's rows from (batch, head, row) on.
__device__ __forceinline__ const char* rows_of(const View& x, std::int64_t batch, std::int64_t row, int head) {
  return static_cast<const char*>(x.data) + 2 * (batch * x.batch_stride + row * x.row_stride + head * x.head_stride);
}

/// Factors of chunk number `chunk` of all keys.
template <class T, bool f16>
__device__ __forceinline__ void factor_chunk(const LaunchNumbers& n, int chunk) {
  using Factors = ChunkFactors<T, f16>;
  const int plane = chunk / n.chunks;
  const int row = (chunk - plane * n.chunks) * kChunkRows;
  const int batch = plane / n.kv_heads;
  const int head = plane - batch * n.kv_heads;
  int keys = n.keys;
  std::int64_t offset = 0;
  float2* out = static_cast<float2*>(n.factors) + static_cast<std::int64_t>(plane) * n.keys;
  if (n.cumulative_k != nullptr) {
    offset = n.cumulative_k[batch];
    keys = n.cumulative_k[batch + 1] - static_cast<int>(offset);
    out = static_cast<float2*>(n.factors) + head * n.total_k + offset;
  }
  const int rows = min(kChunkRows, keys - row);
  if (rows > 0) {
    const int in_batch = n.cumulative_k != nullptr ? 0 : batch;
    float* const to = reinterpret_cast<float*>(out + row);
#pragma unroll 1
    for (int tensor = 0; tensor < 2; ++tensor) {
      const View& x = tensor == 0 ? n.k : n.v;
      const float clip = tensor == 0 ? n.clip_k.value[head] : n.clip_v.value[head];
      const char* const base = rows_of(x, in_batch, offset + row, head);
      unsigned cut = 0;
#pragma unroll
      for (int first = 0; first < Factors::loads; first += Factors::at_once) {
        Factors some;
        some.load(base, 2 * x.row_stride, rows, n.head_dim, first);
        cut += some.finish(rows, clip, to + tensor, first);
      }
      if (n.clipped != nullptr && cut != 0)
        atomicAdd(n.clipped + 3 * head + 1 + tensor, static_cast<unsigned long long>(cut));
    }
  }
  __syncwarp();
  if (threadIdx.x % 32 == 0) {
    __threadfence();
    add_release(n.ready + plane, 1);
  }
}

/// Takes chunks below `end` from a counter until there are none left. Chunks are in the order in which tiles need them;
/// taking them one by one, blocks that are not running hold nothing back.
template <class T, bool f16>
__device__ __forceinline__ void factor_chunks(const LaunchNumbers& n, std::uint32_t* counter, int begin, int end) {
  for (;;) {
    int chunk = 0;
    if (threadIdx.x % 32 == 0) chunk = begin + static_cast<int>(atomicAdd(counter, 1u));
    chunk = __shfl_sync(0xffffffffu, chunk, 0);
    if (chunk >= end) return;
    factor_chunk<T, f16>(n, chunk);
  }
}

}  // namespace dpflash::attention::cuda
