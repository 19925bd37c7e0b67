#include "special/simd_math.hpp"

namespace dpflash::accounting::simd {
namespace {

/// Applies `f` to blocks; the last, partial one goes through a padded copy so that all lanes see valid arguments.
template <class F>
DPFLASH_SIMD_INLINE void for_blocks(double* a, std::size_t n, F f) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(a + i, f(load(a + i), static_cast<double>(i)));
  if (i == n) return;
  double rest[kLanes] = {};
  std::memcpy(rest, a + i, (n - i) * sizeof(double));
  store(rest, f(load(rest), static_cast<double>(i)));
  std::memcpy(a + i, rest, (n - i) * sizeof(double));
}

}  // namespace

DPFLASH_MULTIVERSION void exp_inplace(double* a, std::size_t n) {
  for_blocks(
      a, n, [](V x, double) __attribute__((always_inline)) { return exp(x); });
}

DPFLASH_MULTIVERSION void expm1_inplace(double* a, std::size_t n) {
  for_blocks(
      a, n, [](V x, double) __attribute__((always_inline)) { return expm1(x); });
}

DPFLASH_MULTIVERSION void log_inplace(double* a, std::size_t n) {
  for_blocks(
      a, n, [](V x, double) __attribute__((always_inline)) { return log(x); });
}

DPFLASH_MULTIVERSION void log1p_inplace(double* a, std::size_t n) {
  for_blocks(
      a, n, [](V x, double) __attribute__((always_inline)) { return log1p(x); });
}

DPFLASH_MULTIVERSION void sincos_array(const double* x, std::size_t n, double* sine, double* cosine) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const SinCos both = sincos(load(x + i));
    store(sine + i, both.sine);
    store(cosine + i, both.cosine);
  }
  if (i == n) return;
  const std::size_t bytes = (n - i) * sizeof(double);
  double rest[kLanes] = {};
  std::memcpy(rest, x + i, bytes);
  const SinCos both = sincos(load(rest));
  std::memcpy(sine + i, &both.sine, bytes);
  std::memcpy(cosine + i, &both.cosine, bytes);
}

DPFLASH_MULTIVERSION void scale_exp(double* a, std::size_t n, double c0, double c1) {
  for_blocks(
      a, n, [=](V x, double i) __attribute__((always_inline)) { return x * exp(c0 + ramp(i) * c1); });
}

DPFLASH_MULTIVERSION double sum_exp(const double* a, std::size_t n, double c0, double c1) {
  V total = {};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) total += load(a + i) * exp(c0 + ramp(static_cast<double>(i)) * c1);
  if (i < n) {
    double rest[kLanes] = {};
    std::memcpy(rest, a + i, (n - i) * sizeof(double));
    const V x = load(rest);
    const V term = x * exp(c0 + ramp(static_cast<double>(i)) * c1);
    total += x == 0.0 ? V{} : term;  // a padded lane must not meet an overflow
  }
  return sum(total);
}

}  // namespace dpflash::accounting::simd
