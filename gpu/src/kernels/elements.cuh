// Loads and stores of four neighbouring elements, and their conversions.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/noise.hpp"

namespace dpflash::gpu {

template <class T>
struct Four;

template <>
struct Four<float> {
  float4 v;
  __device__ __forceinline__ static Four load(const float* p) { return {__ldcs(reinterpret_cast<const float4*>(p))}; }
  __device__ __forceinline__ void store(float* p) const { __stcs(reinterpret_cast<float4*>(p), v); }
  /// Some of the bits.
  __device__ __forceinline__ std::uint32_t word() const { return __float_as_uint(v.x); }
  __device__ __forceinline__ void unpack(float (&x)[4]) const {
    x[0] = v.x;
    x[1] = v.y;
    x[2] = v.z;
    x[3] = v.w;
  }
  __device__ __forceinline__ static Four pack(const float (&x)[4]) { return {make_float4(x[0], x[1], x[2], x[3])}; }
};

template <>
struct Four<__nv_bfloat16> {
  uint2 v;
  __device__ __forceinline__ static Four load(const __nv_bfloat16* p) {
    return {__ldcs(reinterpret_cast<const uint2*>(p))};
  }
  __device__ __forceinline__ void store(__nv_bfloat16* p) const { __stcs(reinterpret_cast<uint2*>(p), v); }
  __device__ __forceinline__ std::uint32_t word() const { return v.x; }
  __device__ __forceinline__ void unpack(float (&x)[4]) const {
    x[0] = __uint_as_float(v.x << 16);
    x[1] = __uint_as_float(v.x & 0xffff0000u);
    x[2] = __uint_as_float(v.y << 16);
    x[3] = __uint_as_float(v.y & 0xffff0000u);
  }
  __device__ __forceinline__ static std::uint32_t pair(float low, float high) {
    const __nv_bfloat162 p = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&p);
  }
  __device__ __forceinline__ static Four pack(const float (&x)[4]) {
    return {make_uint2(pair(x[0], x[1]), pair(x[2], x[3]))};
  }
};

template <>
struct Four<__half> {
  uint2 v;
  __device__ __forceinline__ static Four load(const __half* p) { return {__ldcs(reinterpret_cast<const uint2*>(p))}; }
  __device__ __forceinline__ void store(__half* p) const { __stcs(reinterpret_cast<uint2*>(p), v); }
  __device__ __forceinline__ std::uint32_t word() const { return v.x; }
  __device__ __forceinline__ static float2 both(std::uint32_t bits) {
    return __half22float2(*reinterpret_cast<const __half2*>(&bits));
  }
  __device__ __forceinline__ void unpack(float (&x)[4]) const {
    const float2 a = both(v.x);
    const float2 b = both(v.y);
    x[0] = a.x;
    x[1] = a.y;
    x[2] = b.x;
    x[3] = b.y;
  }
  __device__ __forceinline__ static std::uint32_t pair(float low, float high) {
    const __half2 p = __floats2half2_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&p);
  }
  __device__ __forceinline__ static Four pack(const float (&x)[4]) {
    return {make_uint2(pair(x[0], x[1]), pair(x[2], x[3]))};
  }
};

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }

template <class T>
__device__ __forceinline__ T narrow(float x);
template <>
__device__ __forceinline__ float narrow<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ __forceinline__ __half narrow<__half>(float x) {
  return __float2half_rn(x);
}

/// Calls act with a null pointer of the element's type.
template <class Act>
void with_element(Element element, Act&& act) {
  switch (element) {
    case Element::f32:
      return act(static_cast<float*>(nullptr));
    case Element::bf16:
      return act(static_cast<__nv_bfloat16*>(nullptr));
    case Element::f16:
      return act(static_cast<__half*>(nullptr));
  }
}

}  // namespace dpflash::gpu
