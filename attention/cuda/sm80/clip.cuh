// Clip factors of rows: min(1, C / norm), never above the real number.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace dpflash::attention::cuda::sm80 {

/// Lanes that share a row's norm.
inline constexpr int kNormLanes = 8;

template <class T>
__device__ __forceinline__ float2 both(std::uint32_t pair);
template <>
__device__ __forceinline__ float2 both<__nv_bfloat16>(std::uint32_t pair) {
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}
template <>
__device__ __forceinline__ float2 both<__half>(std::uint32_t pair) {
  return __half22float2(*reinterpret_cast<const __half2*>(&pair));
}

/// sum + the squares of eight elements.
template <class T>
__device__ __forceinline__ float add_squares(const uint4& chunk, float sum) {
  const std::uint32_t pairs[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 x = both<T>(pairs[i]);
    sum = __fmaf_rn(x.x, x.x, sum);
    sum = __fmaf_rn(x.y, x.y, sum);
  }
  return sum;
}

/// Sum over kNormLanes neighbouring lanes; the whole warp calls.
__device__ __forceinline__ float sum_of_lanes(float x) {
#pragma unroll
  for (int step = kNormLanes / 2; step > 0; step /= 2) x = __fadd_rn(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}

/// Whether a row with this computed sum of squares is used at all. It is taken as zero when an entry is not finite, or
/// when the squared norm is 2^126 or more: products could overflow.
__device__ __forceinline__ bool is_usable(float sum) { return sum < 0x1p126f; }

/// The factor of a row from its computed sum of squares; 0 when it is not usable.
///
/// At most head_dim + 3 roundings to nearest lie between the squares and their sum: the real sum is below
/// sum (1 + (head_dim + 16) 2^-24) + 2^-140, the latter for what underflows. The root is rounded up, the quotient down.
__device__ __forceinline__ float clip_factor(float sum, float clip, int head_dim) {
  const float slack = __fmaf_rn(static_cast<float>(head_dim + 16), 0x1p-24f, 1.0f);
  const float above = __fmaf_ru(sum, slack, 0x1p-140f);
  const float factor = fminf(1.0f, __fdiv_rd(clip, __fsqrt_ru(above)));
  return is_usable(sum) ? factor : 0.0f;
}

}  // namespace dpflash::attention::cuda::sm80
