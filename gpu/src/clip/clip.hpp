// The arithmetic of clipping, the same bits on host and device. Proof: docs/math/clipping.md.
#pragma once

#include <cfloat>
#include <cstdint>

#include "draw/arith.hpp"

namespace dpflash::clip {

/// A squared norm is added up in chunks of this many numbers, a chunk in this many lanes.
inline constexpr std::uint32_t kChunk = 1024;
inline constexpr std::uint32_t kLanes = 32;

/// Relative error of a norm, rounded up: 2^17 additions.
inline constexpr double kNormCharge = 0x1p-36;
/// What a sum of 2^20 clipped gradients in double may lose by rounding, as a share of the clipping norm.
inline constexpr double kSumCharge = 0x1.02p-13;

DPF_HD double square_root_of(double x) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(x);
#else
  return __builtin_sqrt(x);
#endif
}

DPF_HD double divide(double a, double b) {
#ifdef __CUDA_ARCH__
  return __ddiv_rn(a, b);
#else
  return a / b;
#endif
}

/// Largest normal float that is at most x, for x in [0, 2^127]; 0 below the smallest normal float.
DPF_HD float round_towards_zero(double x) {
  if (x < 0x1p-126) return 0.0f;
#ifdef __CUDA_ARCH__
  return __double2float_rz(x);
#else
  const float nearest = static_cast<float>(x);
  return static_cast<double>(nearest) > x ? draw::as_float(draw::as_bits(nearest) - 1u) : nearest;
#endif
}

/// The factor of an example: `reduced_norm` is Clipping::reduced_norm, gamma 0 unless clipping is automatic.
/// 0 when the squared norm is negative, infinite or NaN.
DPF_HD float factor(double squared_norm, double reduced_norm, double gamma) {
  if (!(squared_norm >= 0 && squared_norm <= DBL_MAX)) return 0.0f;
  const double norm = draw::mul(square_root_of(squared_norm), 1 + kNormCharge);
  if (gamma > 0) return round_towards_zero(divide(reduced_norm, draw::mul(draw::add(norm, gamma), 1 + kNormCharge)));
  return norm <= reduced_norm ? 1.0f : round_towards_zero(divide(reduced_norm, draw::mul(norm, 1 + kNormCharge)));
}

/// Adds the lanes in halves; lane[0] is the sum.
DPF_HD void add_lanes(double (&lane)[kLanes]) {
  for (std::uint32_t half = kLanes / 2; half > 0; half /= 2)
    for (std::uint32_t l = 0; l < half; ++l) lane[l] = draw::add(lane[l], lane[l + half]);
}

}  // namespace dpflash::clip
