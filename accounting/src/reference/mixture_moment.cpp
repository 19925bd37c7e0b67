// Rényi moments of the sampled Gaussian pairs by the trapezoid rule, with its error proved and charged.
//
// In units of the noise, s = x / sigma, every pair here is P = phi (1+v+)^plus, loss L = plus l+ - minus l-, where
// v+- = q (e^(+-s/sigma - 1/(2 sigma^2)) - 1) and l = ln(1+v): remove (1, 0); add (0, 1), mirrored; replace-one (1, 1).
// e^K - 1 = integral of P [h(a L) + a h(-L)], all terms >= 0. Names and bounds as in docs/math/renyi.md, sections 2-5.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "reference/exp_remainder.hpp"
#include "reference/mixture_nodes.hpp"
#include "reference/moment.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

constexpr double kPi = std::numbers::pi;
// Natural logarithm of the share of the moment that truncation and aliasing may each take: e^-35 = 6e-16.
constexpr double kNegligible = -35;
constexpr double kMostDense = 20'000;  // nodes laid for the steep side of add and replace-one at large orders

// Integral of the standard normal density beyond `z`, or of a node sum of it (both below 2).
double normal_tail(double z) { return z > 1 ? std::exp(-0.5 * z * z) / z : 2.0; }

class MixtureMoment : public StepMoment {
 public:
  explicit MixtureMoment(const MixturePair& pair) : pair_(pair), nodes_(pair) {}

  double log_moment(double excess) override {
    double best = cap(excess);
    for (int attempt = 0; attempt < 4; ++attempt) {
      if (!prepare(excess)) return std::min(best, far_cap(excess));
      const Result result = evaluate(excess);
      best = std::min(best, result.value);
      if (!(result.waste > 1e-14) || nodes_.log_gaps() == kInfinity) break;
      spare_ += std::min(400.0, std::log(result.waste) + 34);
      fresh_ = false;
    }
    return best;
  }

 private:
  struct Result {
    double value;
    double waste;  // truncation and aliasing over the moment itself
  };

  // Bounds that need no quadrature (section 5): convexity, and for add the largest loss, ln 1/(1-q).
  [[nodiscard]] double cap(double excess) const {
    const double scale = pair_.plus && pair_.minus ? 4 : 1;
    const double full = scale * excess * (excess + 1) / (2 * pair_.sigma * pair_.sigma);
    const double convex = log_mixture(pair_.rate, full) * (1 + (16 + 4 * std::min(full, 600.0)) * kUnit);
    return pair_.plus ? convex : std::min(convex, -excess * std::log1p(-pair_.rate) * (1 + 8 * kUnit));
  }

  // Where the quadrature would need too many nodes: replace-one is at most remove times (1-q)^-a.
  [[nodiscard]] double far_cap(double excess) const {
    if (!pair_.plus) return kInfinity;
    MixtureMoment remove({pair_.sigma, pair_.rate, true, false});
    return (remove.log_moment(excess) - excess * std::log1p(-pair_.rate)) * (1 + 8 * kUnit);
  }

  // ln of the aliasing error at spacing `step`, relative to e^K - 1 (one mixture) or to its absolute scale (two).
  [[nodiscard]] double log_aliasing(double step, double excess) const {
    const bool both = pair_.plus && pair_.minus;
    const double power = both ? excess : pair_.plus ? 1 : 2 + excess;
    const double stiff = 1 + power / (4 * pair_.sigma * pair_.sigma);
    const double d = std::min(2 * kPi / (step * stiff), 0.9 * kPi * pair_.sigma);
    const double x = 2 * kPi * d / step;
    const double ratio = 0.8 + 0.5 / pair_.sigma;
    return std::numbers::ln2 + d * d / 2 - power * std::log(std::cos(d / (2 * pair_.sigma))) +
           (both ? 0 : std::log1p(12 * d * d * ratio * ratio)) - x - std::log1p(-std::exp(-x)) + 1e-12 * x;
  }

  [[nodiscard]] double spacing(double excess) const {
    const bool both = pair_.plus && pair_.minus;
    const double power = both ? excess : pair_.plus ? 1 : 2 + excess;
    double target = kNegligible - spare_;
    if (both) target -= std::max(0.0, 2 * std::log(pair_.sigma / pair_.rate) + 1);
    double step = 1.1 * std::sqrt(2 * kPi * kPi / (-target * (1 + power / (4 * pair_.sigma * pair_.sigma))));
    while (log_aliasing(step, excess) > target) step *= 0.96;
    return step;
  }

  // Lays nodes that serve `excess`; false when there would be too many.
  bool prepare(double excess) {
    const bool covered = excess <= built_for_ && excess * 16 >= built_for_ && !nodes_.has_gaps();
    if (fresh_ && (excess == built_for_ || covered)) return true;
    reach_ = std::sqrt(2 * (spare_ - kNegligible + 2 * std::log(std::max(1.0, pair_.sigma))));
    const double span = 2 * (reach_ + 1 / pair_.sigma), step = spacing(excess);
    fresh_ = !(pair_.minus && span > kMostDense * step);
    if (!fresh_) return false;
    built_for_ = excess * 1.5;
    nodes_.build(pair_.minus ? spacing(built_for_) : step, reach_, built_for_);
    if (nodes_.has_gaps()) {
      built_for_ = excess;
      nodes_.build(step, reach_, excess);
    }
    return true;
  }

  // What the nodes left out can hold at most: both ends of the line, and gaps.
  [[nodiscard]] double truncation(double excess, double last_term) const {
    const double sigma = pair_.sigma, q = pair_.rate, left = -nodes_.first();
    double tail;
    if (pair_.minus) {
      const double square = q * q / (1 - q) * excess * (excess + 1) / 2 * std::exp(1 / (sigma * sigma));
      // The first is finite; the second may be NaN, which min then passes over.
      tail = std::min(excess * normal_tail(left - 1 / sigma), square * normal_tail(left - 2 / sigma));
    } else {
      const double floor = std::log1p(-q);
      tail = (1 - q) * (exp_remainder(excess * floor) + excess * exp_remainder(-floor)) * normal_tail(left);
    }
    const double decay = nodes_.decay(excess) * nodes_.step();
    const double right = decay > 0 ? last_term * std::exp(-decay) / -std::expm1(-decay) : kInfinity;
    return tail + right + (nodes_.has_gaps() ? std::exp(nodes_.log_gaps()) : 0);
  }

  Result evaluate(double excess) const {
    const double aliasing = std::exp(log_aliasing(nodes_.step(), excess));
    const NodeSum sum = nodes_.sum(excess);
    if (!(sum.value < 1e250)) return evaluate_in_logs(excess, aliasing);
    const double alias =
        pair_.plus && pair_.minus ? aliasing * (1 + sum.value + 2 * (excess + 1)) : aliasing * sum.value;
    const double waste = truncation(excess, sum.last) + alias;
    const double upper = sum.value + sum.rounding * kUnit + waste / (1 - aliasing) + kSmallest;
    if (!(upper < kInfinity) || !(aliasing < 0.5)) return {kInfinity, kInfinity};
    return {std::log1p(upper) * (1 + 16 * kUnit), waste / sum.value};
  }

  // Where e^K overflows, 1 is nothing beside it: the plain integrand phi (1+v+)^(plus (a+1)) (1+v-)^(-minus a).
  Result evaluate_in_logs(double excess, double aliasing) const {
    const LogNodeSum sum = nodes_.log_sum(excess);
    const double decay = nodes_.decay(excess) * nodes_.step();
    if (!(decay > 0) || !(aliasing < 0.5)) return {kInfinity, kInfinity};
    double waste = std::exp(sum.last - sum.value - decay) / -std::expm1(-decay) + aliasing;
    waste += std::exp(-sum.value);  // left of the nodes v+ < 0 < v-, so that the plain integrand is below phi
    if (nodes_.has_gaps()) waste += std::exp(nodes_.log_gaps() - sum.value);
    const double value = sum.value + std::log1p(waste) + sum.rounding * kUnit;
    return {value + 4 * kUnit * std::abs(value) + std::exp(-500.0), waste};
  }

  MixturePair pair_;
  MixtureNodes nodes_;
  double reach_ = 0;
  double spare_ = 0;
  double built_for_ = 0;
  bool fresh_ = false;
};

}  // namespace

std::unique_ptr<StepMoment> mixture_moment(const SampledGaussianStep& step, Direction direction) {
  const bool remove = direction == Direction::remove;
  return std::make_unique<MixtureMoment>(MixturePair{step.sigma, step.rate, remove, !remove});
}

std::unique_ptr<StepMoment> mixture_moment(const ReplaceSampledGaussianStep& step) {
  return std::make_unique<MixtureMoment>(MixturePair{step.sigma, step.rate, true, true});
}

}  // namespace dpflash::accounting
