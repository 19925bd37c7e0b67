// Clip factors of rows: min(1, C / norm), rounded down; 0 for rows that count as zero. Those of keys and values are
// kept in five bytes a row (fp16: six), rounded down again, for the blocks that come to the same rows later.
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

/// Two probabilities in 16 bits, the first in the low half: to nearest in bf16, where the charge u_p counts half an
/// ulp; toward zero in fp16, where numbers may leave the normal ones and half an ulp be anything.
template <bool f16>
__device__ __forceinline__ std::uint32_t pack_probabilities(float low, float high) {
  std::uint32_t bits;
  if constexpr (f16)
    asm("cvt.rz.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
/// Two numbers in 16 bits, to nearest.
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

/// Squares of the norms of a tile's rows 32 batch to 32 batch + 31: each lane has that of row_of_lane. Eight lanes
/// share a row; in which order they hold its chunks does not matter. Rows beyond the tile give anything.
template <class T, bool f16>
__device__ __forceinline__ float batch_square(const char* data, int batch) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  float sums[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    sums[i] = 0;
    int row = 32 * batch + 4 * i + lane / 8;
    if constexpr (T::keys % 32 != 0) row = min(row, T::keys - 1);
#pragma unroll
    for (int p = 0; p < T::panels; ++p)
      sums[i] = squares<f16>(*reinterpret_cast<const uint4*>(data + p * (T::keys * 128) + row * 128 + lane % 8 * 16),
                             sums[i]);
  }
#pragma unroll
  for (int distance = 4; distance > 0; distance /= 2) {
    const bool upper = (lane & distance) != 0;
#pragma unroll
    for (int i = 0; i < distance; ++i) {
      const float kept = upper ? sums[i + distance] : sums[i];
      const float given = upper ? sums[i] : sums[i + distance];
      sums[i] = __fadd_rn(kept, __shfl_xor_sync(0xffffffffu, given, distance));
    }
  }
  return sums[0];
}

/// The row of a batch whose factor a lane has.
__device__ __forceinline__ int row_of_lane(int lane) { return 4 * (lane % 8) + lane / 8; }

/// A row of a tile made zero by a warp.
template <class T>
__device__ __forceinline__ void zero_row(char* tile, int row) {
  for (int i = static_cast<int>(threadIdx.x % 32); i < T::panels * 8; i += 32)
    *reinterpret_cast<uint4*>(tile + (i / 8) * (T::keys * 128) + row * 128 + i % 8 * 16) = make_uint4(0, 0, 0, 0);
}

/// Where the factor of a tile's row lies among the tile's: a lane finds those of its columns 2 (lane mod 4) and the
/// next, of two groups of eight columns, in 16 bytes.
__device__ __forceinline__ int factor_place(int row) {
  return (row / 16 * 4 + row % 8 / 2) * 4 + row / 8 % 2 * 2 + row % 2;
}

/// Factors are kept as 24 bits: 17 behind the leading one, rounded down. Those of bf16 values without the lower 8: 12
/// bits in all are as good as the probabilities that they weigh.
template <bool f16, bool values>
struct Kept {
  static constexpr bool short_ones = values && !f16;
  /// What is kept of a factor.
  __device__ __forceinline__ static float down(float factor) {
    if constexpr (short_ones)
      return factor < kLeastValueFactor ? 0.0f : __uint_as_float(__float_as_uint(factor) & ~0xfffu);
    return __uint_as_float(__float_as_uint(factor) & ~0x3fu);
  }
  __device__ __forceinline__ static void store(const LaunchNumbers& n, std::int64_t row, float kept) {
    const std::uint32_t bits = __float_as_uint(kept);
    if constexpr (short_ones) {
      n.v_factors[row] = static_cast<std::uint16_t>(bits == 0 ? 0u : (bits >> 12) - kOffset);
    } else {
      (values ? n.v_factors : n.k_factors)[row] = static_cast<std::uint16_t>(bits >> 14);
      (values ? n.v_factor_ends : n.k_factor_ends)[row] = static_cast<std::uint8_t>(bits >> 6);
    }
  }
  __device__ __forceinline__ static float load(const LaunchNumbers& n, std::int64_t row) {
    const std::uint32_t code = (values ? n.v_factors : n.k_factors)[row];
    if constexpr (short_ones) return code == 0 ? 0.0f : __uint_as_float((code + kOffset) << 12);
    return __uint_as_float(code << 14 | static_cast<std::uint32_t>((values ? n.v_factor_ends : n.k_factor_ends)[row])
                                            << 6);
  }

 private:
  static constexpr std::uint32_t kOffset = 96u << 11;  ///< exponents from 2^-31 on in five bits
};

}  // namespace dpflash::attention::cuda
