// Elementary functions on blocks of eight doubles with proved errors, identical to the last bit in every instruction
// set.
#pragma once

#include <cstddef>
#include <cstring>

/// Marks an out-of-line function whose loops use the blocks below: one clone for AVX-512, one for AVX2, one for any
/// machine. All clones execute the same IEEE operations (the build forbids contraction), so they agree bit for bit.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(DPFLASH_SANITIZED)
#define DPFLASH_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DPFLASH_MULTIVERSION
#endif
#define DPFLASH_SIMD_INLINE static inline __attribute__((always_inline))

namespace dpflash::accounting::simd {

/// Eight doubles; arithmetic and comparisons work lane by lane.
typedef double V __attribute__((vector_size(64)));
typedef unsigned long long VBits __attribute__((vector_size(64)));

inline constexpr std::size_t kLanes = 8;
inline constexpr double kUnit = 0x1p-53;  // u, the unit round-off

/// Bounds of |computed - exact| / |exact| for one correctly given argument, in units of u
/// (docs/math/elementary-functions.md).
inline constexpr double kExpError = 2.0;  // plus 2^-1074 absolute where the result is subnormal
inline constexpr double kExpm1Error = 4.0;
inline constexpr double kLogError = 3.0;
inline constexpr double kLog1pError = 4.0;
/// Bound of |computed - exact| for sine and cosine, in units of u, for |x| <= kSinCosRange; beyond it the result is
/// NaN.
inline constexpr double kSinCosError = 2.0;
inline constexpr double kSinCosRange = 1e9;
/// Bound of |computed - exact| / |x| for the sine, in units of u, over the same range: small arguments lose nothing.
inline constexpr double kSineRelativeError = 3.0;

namespace detail {

inline constexpr double kShifter = 0x1.8p52;  // x + kShifter rounds |x| < 2^51 to an integer held in the low bits

DPFLASH_SIMD_INLINE VBits bits(V x) { return (VBits)x; }
DPFLASH_SIMD_INLINE V from_bits(VBits x) { return (V)x; }

/// 2^n for integral n in [-1022, 1023].
DPFLASH_SIMD_INLINE V power_of_two(V n) { return from_bits((bits(n + kShifter) << 52) + 0x3FF0000000000000ULL); }

struct ExpParts {
  V n;
  V expm1;  // exp(x - n ln 2) - 1
};

/// Splits x = n ln 2 + r, |r| <= 0.3467; Taylor's polynomial of degree 13.
DPFLASH_SIMD_INLINE ExpParts split_exp(V x) {
  const V n = (x * 0x1.71547652b82fep+0 + kShifter) - kShifter;
  const V r = (x - n * 0x1.62e42fefa38p-1) - n * 0x1.ef35793c7673p-45;
  V p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  return {n, r + (r * r) * p};
}

/// y 2^n for |n| <= 1076: in two halves, so that overflow and underflow happen only in the last product.
DPFLASH_SIMD_INLINE V scale(V y, V n) {
  const V half = (n * 0.5 + kShifter) - kShifter;
  return (y * power_of_two(half)) * power_of_two(n - half);
}

DPFLASH_SIMD_INLINE V clamp(V x, double low, double high) {
  x = x < low ? V{} + low : x;  // NaN passes
  return x > high ? V{} + high : x;
}

/// log(1 + f) + tail for f in [sqrt(1/2) - 1, sqrt(2) - 1] through the series of artanh, tail a small correction.
DPFLASH_SIMD_INLINE V log_kernel(V f, V exponent, V tail) {
  const V s = f / (2.0 + f), z = s * s;
  V p = z * (2.0 / 21.0) + 2.0 / 19.0;
  p = p * z + 2.0 / 17.0;
  p = p * z + 2.0 / 15.0;
  p = p * z + 2.0 / 13.0;
  p = p * z + 2.0 / 11.0;
  p = p * z + 2.0 / 9.0;
  p = p * z + 2.0 / 7.0;
  p = p * z + 2.0 / 5.0;
  p = p * z + 2.0 / 3.0;
  const V half_square = 0.5 * f * f;
  const V low = s * (half_square + z * p) + (exponent * 0x1.ef35793c7673p-45 + tail);
  return exponent * 0x1.62e42fefa38p-1 + (f - (half_square - low));
}

struct LogParts {
  V exponent;
  V mantissa;  // in [sqrt(1/2), sqrt(2))
};

/// x = mantissa 2^exponent for positive normal x.
DPFLASH_SIMD_INLINE LogParts split_log(V x) {
  const VBits t = bits(x) + (0x3FF0000000000000ULL - 0x3FE6A09E667F3BCDULL);
  const V e = from_bits((t >> 52) | 0x4330000000000000ULL) - (0x1p52 + 1023.0);
  return {e, from_bits((t & 0x000FFFFFFFFFFFFFULL) + 0x3FE6A09E667F3BCDULL)};
}

}  // namespace detail

/// Loads / stores eight doubles from unaligned memory.
DPFLASH_SIMD_INLINE V load(const double* p) {
  V x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
DPFLASH_SIMD_INLINE void store(double* p, V x) { std::memcpy(p, &x, sizeof x); }

/// first, first+1, ..., first+7; exact while |first| < 2^52.
DPFLASH_SIMD_INLINE V ramp(double first) { return first + V{0, 1, 2, 3, 4, 5, 6, 7}; }

/// Sum of the lanes, in a fixed order (three levels of rounding).
DPFLASH_SIMD_INLINE double sum(V x) { return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])); }

/// e^x; 0 below -746, infinity above 709.79; NaN stays NaN.
DPFLASH_SIMD_INLINE V exp(V x) {
  const detail::ExpParts part = detail::split_exp(detail::clamp(x, -746.0, 710.0));
  return detail::scale(1.0 + part.expm1, part.n);
}

/// e^x for x in [-708, 709] (unchecked): no second scaling.
DPFLASH_SIMD_INLINE V exp_normal(V x) {
  const detail::ExpParts part = detail::split_exp(x);
  return (1.0 + part.expm1) * detail::power_of_two(part.n);
}

/// e^x - 1 with relative error near 0; -1 at -infinity, infinity above 709.79.
DPFLASH_SIMD_INLINE V expm1(V x) {
  const detail::ExpParts part = detail::split_exp(detail::clamp(x, -40.0, 710.0));
  const V shift = part.n > 64.0 ? V{} + 64.0 : part.n;
  return detail::scale(part.expm1 + (1.0 - detail::power_of_two(-shift)), part.n);
}

/// ln x; -infinity at 0, NaN below.
DPFLASH_SIMD_INLINE V log(V x) {
  const auto tiny = x < 0x1p-1022;
  const V scaled = tiny ? x * 0x1p54 : x;
  const detail::LogParts part = detail::split_log(scaled);
  const V exponent = tiny ? part.exponent - 54.0 : part.exponent;
  V y = detail::log_kernel(part.mantissa - 1.0, exponent, V{});
  y = x > 0x1.fffffffffffffp1023 ? x : y;
  y = x == 0.0 ? V{} - __builtin_inf() : y;
  return x >= 0.0 ? y : V{} + __builtin_nan("");
}

/// ln(1 + x) with relative error near 0; -infinity at -1, NaN below.
DPFLASH_SIMD_INLINE V log1p(V x) {
  const V one_plus = 1.0 + x;
  const detail::LogParts part = detail::split_log(one_plus);
  // What the rounding of 1 + x lost, exactly (Sterbenz, or Dekker's fast two-sum with the larger term first).
  const V lost = (x > 1.0 ? 1.0 - (one_plus - x) : x - (one_plus - 1.0)) / one_plus;
  const auto exact = part.exponent == 0.0;
  const V f = exact ? x : part.mantissa - 1.0;
  V y = detail::log_kernel(f, part.exponent, exact ? V{} : lost);
  y = x > 0x1.fffffffffffffp1023 ? x : y;
  y = x == -1.0 ? V{} - __builtin_inf() : y;
  return x >= -1.0 ? y : V{} + __builtin_nan("");
}

struct SinCos {
  V sine;
  V cosine;
};

/// Sine and cosine together, absolute error kSinCosError u for |x| <= kSinCosRange, NaN beyond.
DPFLASH_SIMD_INLINE SinCos sincos(V x) {
  const V shifted = x * 0x1.45f306dc9c883p-1 + detail::kShifter;
  const VBits quadrant = detail::bits(shifted);
  const V n = shifted - detail::kShifter;
  const V exact = (x - n * 0x1.921fb4p+0) - n * 0x1.4442dp-24;
  V r = exact - (n * 0x1.84698p-48 + n * 0x1.3198a2e037073p-69);
  r = x >= -kSinCosRange && x <= kSinCosRange ? r : V{} + __builtin_nan("");
  const V z = r * r;
  V s = z * (1.0 / 355687428096000.0) - 1.0 / 1307674368000.0;
  s = s * z + 1.0 / 6227020800.0;
  s = s * z - 1.0 / 39916800.0;
  s = s * z + 1.0 / 362880.0;
  s = s * z - 1.0 / 5040.0;
  s = s * z + 1.0 / 120.0;
  s = s * z - 1.0 / 6.0;
  s = r + (r * z) * s;
  V c = z * (1.0 / 20922789888000.0) - 1.0 / 87178291200.0;
  c = c * z + 1.0 / 479001600.0;
  c = c * z - 1.0 / 3628800.0;
  c = c * z + 1.0 / 40320.0;
  c = c * z - 1.0 / 720.0;
  c = c * z + 1.0 / 24.0;
  c = 1.0 - (0.5 * z - (z * z) * c);
  const auto swap = (quadrant & 1ULL) != 0;
  const V sine = swap ? c : s, cosine = swap ? s : c;
  return {detail::from_bits(detail::bits(sine) ^ ((quadrant & 2ULL) << 62)),
          detail::from_bits(detail::bits(cosine) ^ (((quadrant + 1ULL) & 2ULL) << 62))};
}

/// a[i] = f(a[i]) for i < n.
void exp_inplace(double* a, std::size_t n);
void expm1_inplace(double* a, std::size_t n);
void log_inplace(double* a, std::size_t n);
void log1p_inplace(double* a, std::size_t n);

/// sine[i], cosine[i] of x[i]; the arrays may coincide with x only as a whole.
void sincos_array(const double* x, std::size_t n, double* sine, double* cosine);

/// a[i] *= exp(c0 + i c1). Relative error (kExpError + 1 + |i c1| + |c0 + i c1|) u, subnormals aside; n < 2^52.
void scale_exp(double* a, std::size_t n, double c0, double c1);

/// Sum of a[i] exp(c0 + i c1): error at most (n/8 + 8 + max_i(|i c1| + |c0 + i c1|)) u sum |a[i]| exp(c0 + i c1),
/// to first order in u, subnormals aside.
double sum_exp(const double* a, std::size_t n, double c0, double c1);

}  // namespace dpflash::accounting::simd
