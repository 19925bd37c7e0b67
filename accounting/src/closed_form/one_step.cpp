#include "closed_form/one_step.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "closed_form/gaussian.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// Curve of the unsampled pair of a symmetric mechanism at ln(alpha) in [low, high]; decreasing in alpha.
template <class Curve>
Interval over(const Curve& curve, double low, double high) {
  return {curve(high).lower, curve(low).upper};
}

// ln(1 + expm1(epsilon)/rate) with its rounding, as an interval; -inf where the argument is not positive.
Interval inner_level(double epsilon, double rate) {
  if (epsilon > 500) {
    const double level = epsilon - std::log(rate) + std::log1p(-(1 - rate) * std::exp(-epsilon));
    const double error = 8 * kUnit * (epsilon + std::abs(std::log(rate)));
    return {level - error, level + error};
  }
  const double ratio = std::expm1(epsilon) / rate;
  if (ratio <= -1) return {-kInfinity, ratio * (1 - 6 * kUnit) > -1 ? std::log1p(ratio * (1 - 6 * kUnit)) : -kInfinity};
  const double slack = 6 * kUnit * std::abs(ratio);
  const double low = ratio - slack > -1 ? std::log1p(ratio - slack) : -kInfinity;
  const double high = std::log1p(ratio + slack);
  return {low - 4 * kUnit * std::abs(low), high + 4 * kUnit * std::abs(high)};
}

// remove: H_q(e^eps) = q H((e^eps - 1 + q)/q), and 1 - e^eps where that argument is negative.
template <class Curve>
Interval sampled_remove(const Curve& curve, double rate, double epsilon) {
  const Interval level = inner_level(epsilon, rate);
  const double floor = std::max(0.0, -std::expm1(epsilon));
  const double lower = level.upper == -kInfinity ? floor : rate * curve(level.upper).lower;
  const double upper = level.lower == -kInfinity ? std::max(floor, rate) : rate * curve(level.lower).upper;
  return {std::max(floor, lower) * (1 - 8 * kUnit), std::min(1.0, std::max(floor, upper) * (1 + 8 * kUnit))};
}

// add: H_q(e^eps) = (1 - (1-q) e^eps) H(1/a), a = (e^-eps - 1 + q)/q; zero once e^eps >= 1/(1-q).
template <class Curve>
Interval sampled_add(const Curve& curve, double rate, double epsilon) {
  const Interval level = inner_level(-epsilon, rate);
  const double scale_low = level.lower == -kInfinity ? 0 : rate * std::exp(epsilon + level.lower) * (1 - 16 * kUnit);
  const double scale_high = level.upper == -kInfinity ? 0 : rate * std::exp(epsilon + level.upper) * (1 + 16 * kUnit);
  // exp carries the rounding of its argument
  const double slack = 4 * kUnit * (std::abs(epsilon) + 40);
  const double lower = scale_low > 0 ? scale_low * (1 - slack) * curve(-level.lower).lower : 0;
  const double upper = scale_high > 0 ? scale_high * (1 + slack) * curve(-level.upper).upper : 0;
  return {lower, std::min(1.0, upper)};
}

Interval laplace_delta(double scale, double epsilon) {
  const double top = 1 / scale;
  if (epsilon >= top * (1 + 4 * kUnit)) return {0, 0};
  if (epsilon <= -top * (1 + 4 * kUnit)) {
    const double value = -std::expm1(epsilon);
    return {value * (1 - 4 * kUnit), std::min(1.0, value * (1 + 4 * kUnit))};
  }
  const double slack = 4 * kUnit * (top + std::abs(epsilon));
  const double lower = std::max(0.0, -std::expm1(0.5 * (epsilon - top + slack)) * (1 - 4 * kUnit));
  const double upper = std::max(0.0, -std::expm1(0.5 * (epsilon - top - slack)) * (1 + 4 * kUnit));
  return {lower, std::min(1.0, upper)};
}

Interval approximate_delta(const ApproximateStep& s, double epsilon) {
  // losses +-e of P-mass p e^.., P-mass delta at +inf
  const double p = 1 / (1 + std::exp(-s.epsilon));
  const double hit = std::max(0.0, -std::expm1(epsilon - s.epsilon)) * p;
  const double miss = std::max(0.0, -std::expm1(epsilon + s.epsilon)) * (1 - p);
  const double value = s.delta + (1 - s.delta) * (hit + miss);
  const double slack = 16 * kUnit * value + 8 * kUnit * (std::abs(epsilon) + s.epsilon) * p;
  const bool beyond = epsilon >= s.epsilon;
  return {std::max(beyond ? s.delta : 0.0, value - slack), beyond ? s.delta : std::min(1.0, value + slack)};
}

template <class Curve>
Interval sampled(const Curve& curve, double rate, Direction direction, double epsilon) {
  if (rate == 1) return curve(epsilon);
  return direction == Direction::remove ? sampled_remove(curve, rate, epsilon) : sampled_add(curve, rate, epsilon);
}

// P(L > eps) - e^eps Q(L > eps) for the two mixtures; the crossing solves a quadratic in e^{x / sigma^2}.
Interval replace_sampled_delta(double sigma, double rate, double epsilon) {
  if (epsilon < 0) {
    const Interval mirrored = replace_sampled_delta(sigma, rate, -epsilon);
    const double scale = std::exp(epsilon), base = -std::expm1(epsilon);
    return {(base + scale * mirrored.lower) * (1 - 8 * kUnit),
            std::min(1.0, (base + scale * mirrored.upper) * (1 + 8 * kUnit))};
  }
  // With w = e^{x/s^2}, c = q e^{-1/(2 s^2)}: (1-q) + c w = e^eps ((1-q) + c / w).
  const double s2 = sigma * sigma;
  const double log_c = std::log(rate) - 0.5 / s2;
  const double half = 0.5 * (1 - rate) * (epsilon < 700 ? std::expm1(epsilon) : std::exp(700.0));
  double log_w;
  if (epsilon >= 700) {
    log_w = std::max(epsilon + std::log1p(-rate) - log_c, 0.5 * epsilon);
  } else {
    const double c = std::exp(log_c);
    const double root = half + std::hypot(half, std::exp(0.5 * epsilon + log_c));
    log_w = c > 0 && root > 0 ? std::log(root) - log_c : kInfinity;
  }
  const double x = s2 * log_w;
  if (!std::isfinite(x)) return {0, 1};
  const double grow = -std::expm1(epsilon);  // 1 - e^eps
  const auto tail = [&](double shift) { return 0.5 * std::erfc((x - shift) / sigma * (0.5 * std::numbers::sqrt2)); };
  const double positive = rate * tail(1);
  const double middle = (1 - rate) * grow * tail(0);
  const double negative = rate * std::exp(epsilon) * tail(-1);
  const double value = positive + middle - negative;
  // x is the maximiser, so its own error enters squared; what is left is the rounding of the three terms.
  const double z = (std::abs(x) + 1) / sigma;
  const double slack = kUnit * (64 + 16 * z * z + 8 * epsilon) * (positive - middle + negative) + kSmallest;
  if (!std::isfinite(value) || !std::isfinite(slack)) return {0, 1};
  return {std::clamp(value - slack, 0.0, 1.0), std::clamp(value + slack, 0.0, 1.0)};
}

struct Curves {
  Direction direction;
  double epsilon;

  Interval operator()(const GaussianStep& s) const { return gaussian_delta(s.mu, epsilon); }
  Interval operator()(const SampledGaussianStep& s) const {
    return sampled([&](double e) { return gaussian_delta(1 / s.sigma, e); }, s.rate, direction, epsilon);
  }
  Interval operator()(const ReplaceSampledGaussianStep& s) const {
    return replace_sampled_delta(s.sigma, s.rate, epsilon);
  }
  Interval operator()(const LaplaceStep& s) const {
    return sampled([&](double e) { return laplace_delta(s.scale, e); }, s.rate, direction, epsilon);
  }
  Interval operator()(const ApproximateStep& s) const {
    return sampled([&](double e) { return approximate_delta(s, e); }, s.rate, direction, epsilon);
  }
};

// Where a bound of delta falls to its target: proved to exceed it at `low` (or low = 0), not to exceed it at `high`
// (or high = +inf).
struct Crossing {
  double low = 0, high = kInfinity;
};

// Closes a Crossing to two units in the last place by the secant on sqrt(-ln bound), which is nearly linear in epsilon;
// bisects where that leads nowhere.
template <class Bound>
class CrossingSearch {
 public:
  CrossingSearch(const Bound& bound, double target)
      : bound_(bound), target_(target), level_(std::sqrt(-std::log(target))) {}

  /// From `start` > 0; `slope` is that of sqrt(-ln bound), 0 when unknown.
  Crossing run(double start, double slope) {
    slope_ = slope;
    for (double x = start; evaluate(x); x = propose()) {
    }
    return ends_;
  }

  /// Without secants, from the far left: for a bound that rises again, by its rounding, where delta is tiny.
  Crossing run_slowly() {
    ends_ = {};
    evaluations_ = kSecants;
    growth_ = 4;
    for (double x = 1e-12; evaluate(x); x = propose()) {
    }
    return ends_;
  }

  [[nodiscard]] double slope() const { return slope_; }

 private:
  static constexpr int kSecants = 24;  // evaluations after which the secant is given up; it takes 5 to 10

  // False once the ends have met.
  bool evaluate(double x) {
    const double value = bound_(x);
    const double y = std::sqrt(std::max(0.0, -std::log(value))) - level_;
    const double slope = (y - y_) / (x - x_);
    // differences of a few units in the last place say nothing about the slope
    if (std::isfinite(slope) && slope > 0 && std::abs(x - x_) > 1e-9 * x) slope_ = slope;
    x_ = x;
    y_ = y;
    ++evaluations_;
    (value <= target_ ? ends_.high : ends_.low) = x;
    if (ends_.high == kInfinity) return ends_.low <= 1e300;
    const double middle = halfway();
    return ends_.high - ends_.low > 4 * kUnit * ends_.high && middle > ends_.low && middle < ends_.high;
  }

  [[nodiscard]] double halfway() const {
    const auto [low, high] = ends_;
    if (low == 0) return high * std::min(high, 0.0625);
    return high > 4 * low ? std::sqrt(low) * std::sqrt(high) : 0.5 * (low + high);
  }

  double propose() {
    double x = slope_ > 0 ? x_ - y_ / slope_ : std::nan("");
    // Resolved as far as the last point tells: look just across it for the other end.
    const double nudge = nudge_ * kUnit * x_;
    if (std::abs(x - x_) <= nudge) {
      x = x_ == ends_.low ? x_ + nudge : x_ - nudge;
      nudge_ *= 4;
    }
    if (ends_.high == kInfinity) {
      const double furthest = ends_.low * std::clamp(ends_.low, 4.0, growth_);
      return x > ends_.low && evaluations_ < kSecants ? std::min(x, furthest) : furthest;
    }
    return x > ends_.low && x < ends_.high && evaluations_ < kSecants ? x : halfway();
  }

  const Bound& bound_;
  double target_, level_;
  Crossing ends_ = {};
  double x_ = 0, y_ = kInfinity, slope_ = 0;
  double nudge_ = 2;
  double growth_ = kInfinity;
  int evaluations_ = 0;
};

// Starting points of the search; any positive number is sound.
struct Guess {
  double delta;

  // delta = phi(a) (m(a) - m(a + mu)) with a = epsilon/mu - mu/2, Mills ratios m(x) about 1 / (x + 1)
  [[nodiscard]] double gaussian(double mu, double target) const {
    const double exponent = -std::log(std::min(target, 0.4));
    double a = 1;
    for (int i = 0; i < 3; ++i) {
      const double ratio = mu / ((a + 1) * (a + 1 + mu));
      a = std::sqrt(std::max(0.04, 2 * (exponent + std::log(ratio) - 0.92)));
    }
    return mu * (a + 0.5 * mu);
  }
  [[nodiscard]] double mixture(double sigma, double rate) const {
    const double level = gaussian(1 / sigma, delta / rate);
    return level > 30 ? level + std::log(rate) : std::log1p(rate * std::expm1(level));
  }

  double operator()(const GaussianStep& s) const { return gaussian(s.mu, delta); }
  double operator()(const SampledGaussianStep& s) const { return mixture(s.sigma, s.rate); }
  double operator()(const ReplaceSampledGaussianStep& s) const { return mixture(s.sigma, s.rate); }
  double operator()(const LaplaceStep& s) const { return 1 / s.scale + 2 * std::log1p(-delta); }
  double operator()(const ApproximateStep& s) const { return s.epsilon; }
};

double starting_point(const Step& step, double delta) {
  const double guess = std::visit(Guess{delta}, step);
  return guess > 1e-12 ? std::min(guess, 1e12) : 1e-12;
}

}  // namespace

Interval one_step_delta(const Step& step, Direction direction, double epsilon) {
  const Interval raw = std::visit(Curves{direction, epsilon}, step);
  return {std::max(0.0, raw.lower), std::min(1.0, std::max(raw.upper, raw.lower))};
}

Interval one_step_epsilon(const Step& step, Direction direction, double delta) {
  const auto upper_bound = [&](double e) { return one_step_delta(step, direction, e).upper; };
  const auto lower_bound = [&](double e) { return one_step_delta(step, direction, e).lower; };
  if (upper_bound(0) <= delta) return {0, 0};
  CrossingSearch from_above(upper_bound, delta);
  double upper = from_above.run(starting_point(step, delta), 0).high;
  const double slope = from_above.slope();
  if (upper == kInfinity) upper = from_above.run_slowly().high;
  CrossingSearch from_below(lower_bound, delta);
  const Crossing past = from_below.run(std::isfinite(upper) ? upper : 1, slope);
  // the lower bound of delta still exceeds the target at past.low: the answer is no smaller
  const double lower = std::isfinite(past.high) ? past.low : past.high;
  return {std::min(lower, upper), upper};
}

std::optional<Step> as_one_step(const Composition& composition) {
  if (composition.phases.size() != 1 || composition.phases.front().count != 1) return std::nullopt;
  return composition.phases.front().step;
}

}  // namespace dpflash::accounting
