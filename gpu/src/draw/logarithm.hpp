// Logarithms of random words, by IEEE operations alone. Errors: docs/math/randomness.md.
#pragma once

#include "draw/arith.hpp"

namespace dpflash::draw {

/// -2 ln(1 + f) for f in [-1/2, 0]; relative error of the polynomial 1.8e-7 (tests/reference/draw_polynomials.py).
DPF_HD float minus_two_log1p(float f) {
  float q = 0x1.2f57b8p+1f;
  q = fma(q, f, 0x1.14dfe8p+1f);
  q = fma(q, f, 0x1.922422p+0f);
  q = fma(q, f, -0x1.37710ep-4f);
  q = fma(q, f, 0x1.16c8dcp-1f);
  q = fma(q, f, -0x1.53d3ccp-1f);
  q = fma(q, f, 0x1.0004cap+0f);
  q = fma(q, f, -0x1.fffffcp+0f);
  return mul(q, f);
}

/// -2 ln(w 2^-32) for a w > 0 with n leading zeros, plus `halvings` times 2 ln 2. The argument of the logarithm is an
/// exact integer below 2^32 counted from above, so that values near 0 keep their relative precision.
DPF_HD float minus_two_log(std::uint32_t w, int n, int halvings) {
  const float f = mul(to_float(static_cast<std::int32_t>(shift_left(w, n))), 0x1p-32f);
  return fma(to_float(n + halvings), 0x1.62e43p+0f, minus_two_log1p(f));
}

DPF_HD float minus_two_log(std::uint32_t w, int halvings = 0) { return minus_two_log(w, leading_zeros(w), halvings); }

/// -2 ln of the 96-bit fraction w : e1 : e0 with w < 2^17, plus `more` times 2 ln 2: the rare draws. An all-zero
/// fraction counts as 2^-96.
DPF_HD float minus_two_log_rare(std::uint32_t w, std::uint32_t e1, std::uint32_t e0, int more = 0) {
  std::uint32_t hi = w;
  std::uint32_t mid = e1;
  std::uint32_t low = e0;
  int halvings = more;
  if (hi == 0) {
    hi = mid;
    mid = low;
    low = 0;
    halvings += 32;
  }
  if (hi == 0) {
    hi = mid == 0 ? 1u : mid;
    mid = 0;
    halvings += 32;
  }
  const int n = leading_zeros(hi);
  const std::uint32_t top = n == 0 ? hi : (hi << n) | (mid >> (32 - n));
  return minus_two_log(top, halvings + n);
}

}  // namespace dpflash::draw
