#include "inversion/spectrum.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "inversion/strip.hpp"
#include "special/simd_math.hpp"

namespace dpflash::accounting::inversion {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = simd::kUnit;

/// Largest value of g(v) = e^(-theta v) (1 - e^(-v)): theta^theta / (1 + theta)^(1 + theta), rounded up.
double largest_gain(double theta) {
  return std::exp(theta * std::log(theta / (1 + theta)) - std::log1p(theta)) * (1 + 1e-9);
}

}  // namespace

std::optional<TotalCumulant> total_cumulant(const Model& model, double theta, double fineness, double z) {
  const double gaussian = 0.5 * model.mu2 * theta * (theta + 1);
  TotalCumulant total{gaussian, gaussian * (model.mu2_error + 6 * kUnit)};
  double size = gaussian;
  for (const SampledPhase& phase : model.phases) {
    const auto nodes = make_nodes(phase, theta, natural_spacing(phase, fineness), z);
    if (!nodes) return std::nullopt;
    const Cumulant one = cumulant(*nodes, z);
    if (!std::isfinite(one.error)) return std::nullopt;
    total.value += phase.count * one.value;
    total.error += phase.count * one.error;
    size += phase.count * std::fabs(one.value);
  }
  total.error = 1.001 * total.error + static_cast<double>(model.phases.size() + 4) * kUnit * size;
  return total;
}

Spectrum::Sum Spectrum::transform(double epsilon) const {
  const std::size_t n = frequency_.size();
  const double offset = epsilon - mean_;
  double value = 0;
  constexpr std::size_t kBlock = 256;
  double angle[kBlock], sine[kBlock], cosine[kBlock];
  for (std::size_t start = 0; start < n; start += kBlock) {
    const std::size_t m = std::min(kBlock, n - start);
    for (std::size_t j = 0; j < m; ++j) angle[j] = frequency_[start + j] * offset;
    simd::sincos_array(angle, m, sine, cosine);
    double part = 0;
    for (std::size_t j = 0; j < m; ++j) part += real_[start + j] * cosine[j] + imaginary_[start + j] * sine[j];
    value += part;
  }
  const double rounding = (static_cast<double>(std::min(n, kBlock)) + static_cast<double>(n) / kBlock + 12) * kUnit;
  const double phase = 2.1 * kUnit * std::fabs(offset) + mean_error_;
  return {value, error_ + 1.5 * rounding * magnitude_ + 1.01 * phase * first_moment_};
}

/// K - theta epsilon + ln(mass), moved by all remaining errors in the direction `side` (+1 or -1).
double Spectrum::log_bound(double epsilon, double mass, double side) const {
  const double logarithm = std::log(mass), product = theta_ * epsilon;
  const double rounding = 8 * kUnit * (std::fabs(cumulant_) + std::fabs(product) + std::fabs(logarithm) + 1);
  return cumulant_ - product + logarithm + side * (cumulant_error_ + rounding);
}

double Spectrum::log_estimate(double epsilon) const { return log_bound(epsilon, transform(epsilon).value, 0); }

double Spectrum::log_upper(double epsilon) const {
  const Sum sum = transform(epsilon);
  return log_bound(epsilon, sum.value + sum.error, 1);
}

double Spectrum::log_lower(double epsilon) const {
  const Sum sum = transform(epsilon);
  const double wrap = std::exp(-theta_ * period_) / -std::expm1(-theta_ * period_);
  const double size = std::fabs(cumulant_) + std::fabs(theta_ * epsilon) + std::fabs(right_cumulant_) +
                      right_order_ * (std::fabs(epsilon) + period_);
  const double slack = cumulant_error_ + 8 * kUnit * size;
  const double below = std::exp(slack - cumulant_ + theta_ * epsilon) * wrap;
  const double tail = std::exp(std::min(0.0, slack + right_cumulant_ - cumulant_ - right_order_ * (epsilon + period_)));
  const double mass = sum.value - sum.error - (1 + 1e-9) * (below + (largest_gain(theta_) + wrap) * tail);
  return mass > 0 ? log_bound(epsilon, mass, -1) : (std::isnan(mass) ? mass : -kInfinity);
}

}  // namespace dpflash::accounting::inversion
