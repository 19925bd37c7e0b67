#include "grid/rounding.hpp"

#include <algorithm>
#include <cmath>

namespace dpflash::noise::grid {

namespace {

constexpr int kNearestTries = 14;
constexpr int kTries = 400;

double norm_of(std::span<const float> contribution) {
  double lanes[4] = {0, 0, 0, 0};
  for (std::size_t i = 0; i < contribution.size(); ++i) {
    const double x = contribution[i];
    lanes[i % 4] += x * x;
  }
  return std::sqrt((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
}

}  // namespace

std::int64_t rounded(float x, const Rounding& rounding) {
  if (rounding.factor == 0) return 0;
  const double y = static_cast<double>(x) * rounding.factor;
  return static_cast<std::int64_t>(rounding.towards_zero ? std::trunc(y) : std::nearbyint(y));
}

Wide squared_norm(std::span<const float> contribution, const Rounding& rounding) {
  Wide sum = 0;
  for (const float x : contribution) {
    const std::int64_t k = rounded(x, rounding);
    const auto modulus = static_cast<std::uint64_t>(k < 0 ? -k : k);
    sum += static_cast<Wide>(modulus) * modulus;
  }
  return sum;
}

Rounding rounding_of(std::span<const float> contribution, double per_unit, std::int64_t integer_clip) {
  const double norm = norm_of(contribution);
  if (!std::isfinite(norm)) return {};
  const Wide bound = static_cast<Wide>(integer_clip) * static_cast<Wide>(integer_clip);
  Rounding rounding{std::min(per_unit, static_cast<double>(integer_clip) / norm), false};
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const Wide squared = squared_norm(contribution, rounding);
    if (squared <= bound) return rounding;
    rounding.towards_zero = attempt >= kNearestTries;
    // Down by the excess, and by no less than a step that grows to a half.
    const double excess = static_cast<double>(integer_clip) / std::sqrt(static_cast<double>(squared));
    const double step = 1 - std::ldexp(1.0, -std::max(1, 29 - 2 * attempt));
    rounding.factor *= std::min(excess, step);
  }
  return {};
}

}  // namespace dpflash::noise::grid
