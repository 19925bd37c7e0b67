#include "inversion/model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "special/simd_math.hpp"

namespace dpflash::accounting::inversion {
namespace {

constexpr double kSmallestTheta = 1e-7;
constexpr double kLargestTheta = 1e9;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool usable(const SampledPhase& p) {
  return p.sigma >= 0.01 && p.sigma <= 1e6 && p.rate >= 1e-12 && p.rate < 1 && p.count >= 1 && p.count <= 1e13;
}

/// ln delta by the saddle point of e^(K - theta eps)/(theta (1 + theta)), at the epsilon whose saddle is theta.
struct SaddleValue {
  double epsilon;
  double log_delta;
  double deviation;
  double log_main;
  double slope;  // d log_delta / d ln theta, leading terms
};

SaddleValue saddle_value(const Model& model, double theta) {
  const Cumulants k = estimate_cumulants(model, theta);
  const double pole = 1 / theta + 1 / (1 + theta);
  const double curvature = k.second + 1 / (theta * theta) + 1 / ((1 + theta) * (1 + theta));
  const double log_main = -std::log(theta) - std::log1p(theta) - 0.5 * std::log(2 * std::numbers::pi * curvature);
  const double epsilon = k.first - pole;
  return {epsilon, k.value - theta * epsilon + log_main, std::sqrt(k.second), log_main, -theta * theta * curvature};
}

/// Where the saddle lies at the flip of the tilted law from its bulk to the hits, a smaller tilt keeps to the bulk,
/// which is close to normal. Empty unless the answer lies there; solves for epsilon when none is given.
std::optional<Pilot> bulk_pilot(const Model& model, double theta, double flipped, const double* epsilon,
                                double log_delta) {
  const double t = round_to_bits(0.85 * theta, 26);
  const Cumulants k = estimate_cumulants(model, t);
  if (!(k.second > 0) || !(flipped > 9 * k.second)) return std::nullopt;
  const double constant = -std::log(t) - std::log1p(t) - 0.5 * std::log(2 * std::numbers::pi * k.second);
  const auto log_main = [&](double e) { return constant - 0.5 * (e - k.first) * (e - k.first) / k.second; };
  double e = epsilon != nullptr ? *epsilon : k.first;
  for (int i = 0; i < 20 && epsilon == nullptr; ++i) {
    const double slope = std::max(t + (e - k.first) / k.second, 0.1 * t);
    e += std::clamp((k.value - t * e + log_main(e) - log_delta) / slope, -1 / t, 1 / t);
  }
  const double deviation = std::sqrt(k.second);
  if (!(std::fabs(e - k.first) < 4 * deviation)) return std::nullopt;
  return Pilot{t, e, k.value - t * e + log_main(e), deviation, log_main(e)};
}

std::optional<Pilot> finish(const Model& model, double theta, const double* epsilon, double log_delta) {
  theta = round_to_bits(theta, 26);
  const Cumulants k = estimate_cumulants(model, theta);
  const bool usable = std::isfinite(k.value) && k.second > 0 && std::isfinite(k.second);
  if (const auto bulk = bulk_pilot(model, theta, usable ? k.second : HUGE_VAL, epsilon, log_delta)) return bulk;
  if (!usable) return std::nullopt;
  const SaddleValue at = saddle_value(model, theta);
  const double answer = epsilon != nullptr ? *epsilon : at.epsilon;
  return Pilot{theta, answer, k.value - theta * answer + at.log_main, at.deviation, at.log_main};
}

/// Newton's method on ln theta for an increasing f, kept inside a bracket; f returns {value, derivative by ln theta}.
template <class F>
std::optional<double> solve_theta(double start, F f) {
  double low = std::log(kSmallestTheta), high = std::log(kLargestTheta), x = std::clamp(std::log(start), low, high);
  bool settled = false;
  for (int i = 0; i < 40 && !settled; ++i) {
    const auto [value, slope] = f(std::exp(x));
    // Overflow means that theta is far too large.
    const bool too_large = !std::isfinite(value) || value > 0;
    (too_large ? high : low) = x;
    double step = std::isfinite(value) && slope > 0 ? -value / slope : -1.0;
    step = std::clamp(step, -1.5, 1.5);
    // In units of ln delta: where the tilted law flips from the bulk to the hits, a tiny step in theta is not enough.
    settled = std::isfinite(value) && std::fabs(value) < 0.2;
    double next = x + step;
    if (!(next > low && next < high)) next = 0.5 * (low + high);
    if (high - low < 1e-6) settled = true;
    x = next;
  }
  if (!settled || x < std::log(kSmallestTheta) + 0.01 || x > std::log(kLargestTheta) - 0.01) return std::nullopt;
  return std::exp(x);
}

double rough_variance(const Model& model) {
  double variance = model.mu2;
  for (const SampledPhase& p : model.phases) {
    const double scale = 1 / (p.sigma * p.sigma);
    variance += p.count * std::min(scale + 0.25 * scale * scale, p.rate * p.rate * (p.pair == Pair::replace ? 4 : 1) *
                                                                     std::expm1(std::min(scale, 50.0)));
  }
  return variance;
}

}  // namespace

std::optional<Model> model_of(const Composition& composition, Direction direction) {
  Model model;
  for (const Phase& phase : composition.phases) {
    const auto count = static_cast<double>(phase.count);
    if (const auto* gaussian = std::get_if<GaussianStep>(&phase.step)) {
      model.mu2 += count * gaussian->mu * gaussian->mu;
      model.mu2_error += 4 * simd::kUnit;
    } else if (const auto* sampled = std::get_if<SampledGaussianStep>(&phase.step)) {
      model.phases.push_back(
          {sampled->sigma, sampled->rate, count, direction == Direction::remove ? Pair::remove : Pair::add});
    } else if (const auto* replaced = std::get_if<ReplaceSampledGaussianStep>(&phase.step)) {
      model.phases.push_back({replaced->sigma, replaced->rate, count, Pair::replace});
    } else {
      return std::nullopt;
    }
  }
  if (!std::all_of(model.phases.begin(), model.phases.end(), usable)) return std::nullopt;
  if (!(model.mu2 >= 0 && model.mu2 < 1e12) || (model.mu2 < 1e-20 && model.phases.empty())) return std::nullopt;
  return model;
}

double largest_loss(const Model& model) {
  double sum = 0;
  for (const SampledPhase& p : model.phases) {
    if (p.pair != Pair::add) return std::numeric_limits<double>::infinity();
    sum += p.count * -std::log1p(-p.rate);
  }
  return model.mu2 > 0 ? std::numeric_limits<double>::infinity() : sum * (1 + 1e-9);
}

double natural_spacing(const SampledPhase& phase, double fineness) {
  return phase.sigma * std::min(1.0, phase.sigma) / fineness;
}

Cumulants estimate_cumulants(const Model& model, double theta) {
  Cumulants k{0.5 * model.mu2 * theta * (theta + 1), model.mu2 * (theta + 0.5), model.mu2};
  for (const SampledPhase& phase : model.phases) {
    // A larger grid would cost more than an answer is worth here.
    const std::size_t largest_grid = phase.sigma < 0.1 ? 4096 : 1024;
    const auto nodes = make_nodes(phase, theta, natural_spacing(phase, 2), 7, largest_grid);
    if (!nodes) return {kNan, kNan, kNan};
    const double normal = nodes->spacing / (phase.sigma * std::sqrt(2 * std::numbers::pi));
    const double log_m = nodes->shift == 0 ? std::log1p(normal * nodes->sums.bernoulli)
                                           : nodes->shift + std::log(normal * nodes->sums.weight);
    k.value += phase.count * log_m;
    k.first += phase.count * nodes->sums.mean_loss;
    k.second += phase.count * nodes->sums.variance;
  }
  return k;
}

std::optional<Pilot> pilot_for_delta(const Model& model, double delta) {
  const double log_delta = std::log(delta);
  const double start = std::sqrt(-2 * log_delta / rough_variance(model));
  const auto theta = solve_theta(start, [&](double t) {
    const SaddleValue at = saddle_value(model, t);
    return std::pair{log_delta - at.log_delta, -at.slope};
  });
  return theta ? finish(model, *theta, nullptr, log_delta) : std::nullopt;
}

std::optional<Pilot> pilot_for_epsilon(const Model& model, double epsilon) {
  const double start = std::max(std::fabs(epsilon) / rough_variance(model), 1 / std::sqrt(rough_variance(model)));
  const auto theta = solve_theta(start, [&](double t) {
    const SaddleValue at = saddle_value(model, t);
    return std::pair{(at.epsilon - epsilon) * t, -at.slope + (at.epsilon - epsilon) * t};
  });
  return theta ? finish(model, *theta, &epsilon, 0) : std::nullopt;
}

std::optional<double> chernoff_theta(const Model& model, double epsilon) {
  const double start = std::max(std::fabs(epsilon) / rough_variance(model), 1 / std::sqrt(rough_variance(model)));
  const auto theta = solve_theta(start, [&](double t) {
    const Cumulants k = estimate_cumulants(model, t);
    const double slope = k.first - epsilon + std::log(t) - std::log1p(t);
    return std::pair{slope * t, t * t * k.second + t / (1 + t) + slope * t};
  });
  return theta ? std::optional(round_to_bits(*theta, 26)) : std::nullopt;
}

}  // namespace dpflash::accounting::inversion
