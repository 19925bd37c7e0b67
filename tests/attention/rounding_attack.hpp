// One record that changes how every other weight is rounded, where a kernel subtracts a row maximum.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <dpflash/noise/elements.hpp>
#include <vector>

namespace attack {

enum class Sixteen { bf16, f16 };

inline float nearest(Sixteen type, float x) {
  return type == Sixteen::bf16 ? dpflash::noise::to_float(dpflash::noise::to_bfloat16(x))
                               : dpflash::noise::to_float(dpflash::noise::to_float16(x));
}
inline float towards_zero(Sixteen type, float x) {
  float y = nearest(type, x);
  if (std::abs(y) <= std::abs(x)) return y;
  // The element before, towards zero.
  if (type == Sixteen::bf16) {
    const auto bits = static_cast<std::uint16_t>(dpflash::noise::to_bfloat16(y).bits - 1);
    return dpflash::noise::to_float(dpflash::noise::BFloat16{bits});
  }
  const auto bits = static_cast<std::uint16_t>(dpflash::noise::to_float16(y).bits - 1);
  return dpflash::noise::to_float(dpflash::noise::Float16{bits});
}

/// A row of n keys: all but the first have score `other` and value -1. The first has score `before` and value +1, or in
/// the neighbouring input score `after` and value -1. It is the first so that an online maximum has it from the start.
struct Neighbours {
  float other;
  float before;
  float after;
  double row_maximum_moves;  ///< predicted of a kernel that subtracts a row maximum
};

/// The answer of one row, weights being rounded to nearest after the row maximum is subtracted; sums are exact.
inline double with_row_maximum(Sixteen type, std::int64_t n, float other, float own, double value) {
  const float most = std::max(other, own);
  const float p = std::exp(other - most);
  const float own_p = std::exp(own - most);
  const auto rest = static_cast<double>(n - 1);
  return (value * static_cast<double>(nearest(type, own_p)) - rest * static_cast<double>(nearest(type, p))) /
         (static_cast<double>(own_p) + rest * static_cast<double>(p));
}

/// The `count` worst neighbours for such a kernel with scores in [-b, b], a grid of `steps`^3 tried.
inline std::vector<Neighbours> worst_for_row_maximum(Sixteen type, std::int64_t n, float b, int steps,
                                                     std::size_t count) {
  std::vector<Neighbours> all;
  const auto step = [&](int i, float from, float to) {
    return from + (to - from) * static_cast<float>(i) / static_cast<float>(steps - 1);
  };
  for (int i = 0; i < steps; ++i) {
    // The record weighs most when the others have the least score and it the largest.
    const float other = step(i, -b, -0.9f * b);
    for (int j = 0; j < steps; ++j) {
      const float before = step(j, 0.9f * b, b);
      const double first = with_row_maximum(type, n, other, before, 1);
      for (int k = 0; k < steps; ++k) {
        const float after = step(k, -b, b);
        all.push_back({other, before, after, std::abs(first - with_row_maximum(type, n, other, after, -1))});
      }
    }
  }
  const auto worse = [](const Neighbours& x, const Neighbours& y) { return x.row_maximum_moves > y.row_maximum_moves; };
  count = std::min(count, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(), worse);
  all.resize(count);
  return all;
}

}  // namespace attack
