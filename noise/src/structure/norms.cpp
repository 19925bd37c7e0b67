#include "structure/norms.hpp"

#include <algorithm>
#include <cmath>

#include "structure/rounding.hpp"

namespace dpflash::noise::structure {

namespace {

constexpr std::size_t kPiece = 4096;

// Sum of term(i) >= 0 for i < n, above the exact sum; each term may carry `units` unit roundoffs. Any order of adding
// errs by at most (additions) u relative, as all terms are non-negative.
template <class Term>
double sum_up(std::size_t n, double units, const Term& term) {
  double total = 0;
  for (std::size_t begin = 0; begin < n; begin += kPiece) {
    const std::size_t end = std::min(n, begin + kPiece);
    double piece = 0;
    for (std::size_t i = begin; i < end; ++i) piece += term(i);
    total += piece;
  }
  const double additions = static_cast<double>(kPiece) + static_cast<double>(n / kPiece) + units + 8;
  const double sum = total * (1 + 1.01 * additions * kUnit);
  return std::isfinite(sum) ? sum : kInfinity;
}

double square(float x) {
  const double d = x;
  return d * d;
}

}  // namespace

double l2_norm(std::span<const float> x) {
  const float* p = x.data();
  return sqrt_up(sum_up(x.size(), 0, [p](std::size_t i) { return square(p[i]); }));
}

double l1_norm(std::span<const float> x) {
  const float* p = x.data();
  return sum_up(x.size(), 0, [p](std::size_t i) { return std::abs(static_cast<double>(p[i])); });
}

double weighted_norm(std::span<const float> x, std::span<const float> weights) {
  return sqrt_up(sum_up(x.size(), 4, [&](std::size_t i) {
    const double q = static_cast<double>(x[i]) / static_cast<double>(weights[i]);
    return q * q;
  }));
}

double l2_norm_at(std::span<const float> x, std::span<const std::uint64_t> kept) {
  return sqrt_up(sum_up(kept.size(), 0, [&](std::size_t j) { return square(x[kept[j]]); }));
}

void scale_down(std::span<float> x, double norm, double limit) {
  if (norm <= limit) return;
  if (!std::isfinite(norm)) {
    std::fill(x.begin(), x.end(), 0.0f);
    return;
  }
  const double factor = limit / norm * (1 - 4 * kUnit);  // the quotient and each product may round up
  for (float& value : x) value = float_towards_zero(static_cast<double>(value) * factor);
}

}  // namespace dpflash::noise::structure
