// Arithmetic that gives the same bits on the host and on the device: IEEE operations one by one, never contracted.
#pragma once

#include <cstdint>

// Some compilers' default, and what distributions may set: a NaN would then pass for finite, and one record's NaN would
// be seen in every sum.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "noise needs IEEE arithmetic: build without -ffast-math (Intel: -fp-model=precise)"
#endif

#ifdef __CUDACC__
#define DPF_HD __host__ __device__ __forceinline__
#else
// Never out of line: the host's draws are compiled a second time for AVX2 and FMA, and a shared copy would mix the two.
// For the same reason these headers call builtins, not inline functions of the standard library.
#define DPF_HD inline __attribute__((always_inline))
#endif

namespace dpflash::draw {

DPF_HD float mul(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

DPF_HD float add(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}

DPF_HD float fma(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

DPF_HD double mul(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

DPF_HD double add(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dadd_rn(a, b);
#else
  return a + b;
#endif
}

DPF_HD double fma(double a, double b, double c) {
#ifdef __CUDA_ARCH__
  return __fma_rn(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}

/// Correctly rounded square root of x in [2^-40, 2^10]. On the device the hardware's approximate reciprocal root and
/// one exact correction: the compiler's own sequence without its tests for other ranges (tests/gpu checks every float).
DPF_HD float square_root(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  const float s = __fmul_rn(x, y);
  const float h = __fmul_rn(y, 0.5f);
  return __fmaf_rn(__fmaf_rn(-s, s, x), h, s);
#else
  return __builtin_sqrtf(x);
#endif
}

/// Nearest float of a signed 32-bit integer.
DPF_HD float to_float(std::int32_t i) {
#ifdef __CUDA_ARCH__
  return __int2float_rn(i);
#else
  return static_cast<float>(i);
#endif
}

DPF_HD float as_float(std::uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  return __builtin_bit_cast(float, bits);
#endif
}

DPF_HD std::uint32_t as_bits(float x) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(x);
#else
  return __builtin_bit_cast(std::uint32_t, x);
#endif
}

/// Leading zero bits of x > 0.
DPF_HD int leading_zeros(std::uint32_t x) {
#ifdef __CUDA_ARCH__
  int n;
  asm("bfind.shiftamt.u32 %0, %1;" : "=r"(n) : "r"(x));
  return n;
#else
  return __builtin_clz(x);
#endif
}

/// x << n with n in [0, 32]: 0 when n is 32.
DPF_HD std::uint32_t shift_left(std::uint32_t x, int n) {
#ifdef __CUDA_ARCH__
  return __funnelshift_lc(0u, x, n);
#else
  return n >= 32 ? 0u : x << n;
#endif
}

}  // namespace dpflash::draw
