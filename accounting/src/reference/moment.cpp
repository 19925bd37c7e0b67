#include "reference/moment.hpp"

#include <algorithm>
#include <cmath>

#include "reference/exp_remainder.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

class GaussianMoment : public StepMoment {
 public:
  explicit GaussianMoment(double mu) : half_square_(0.5 * mu * mu) {}
  double log_moment(double excess) override { return excess * (excess + 1) * half_square_ * (1 + 32 * kUnit); }

 private:
  double half_square_;  // of a mu that came out of a sum and a root: 16 units roundoff
};

// Mironov (2017), table II, rearranged so that no term cancels: with a = order - 1, e = 1/b,
// e^K - 1 = [(a+1) h(a e) + a h(-(a+1) e)] / (2a+1).
class LaplaceMoment : public StepMoment {
 public:
  explicit LaplaceMoment(double scale) : top_(1 / scale) {}
  double log_moment(double excess) override {
    const double x = excess * top_, first = (excess + 1) / (2 * excess + 1), second = excess / (2 * excess + 1);
    if (x > 600) return x + std::log(first) + (x * 8 + 64) * kUnit + std::exp(-500.0);
    const double sum = first * exp_remainder(x) + second * exp_remainder(-x - top_);
    return std::log1p(sum * (1 + (64 + 4 * x) * kUnit) + kSmallest) * (1 + 4 * kUnit);
  }

 private:
  double top_;
};

// Losses +-epsilon with Q-probabilities 1/(1+e^epsilon), e^epsilon/(1+e^epsilon), P = (1-q) Q + q P0: the binary
// randomised response that simulates every pure epsilon mechanism (Kairouz, Oh, Viswanath 2015, theorem 2.5).
class TwoPointMoment : public StepMoment {
 public:
  TwoPointMoment(const ApproximateStep& step, Direction direction)
      : step_(step), remove_(direction == Direction::remove) {}
  double log_moment(double excess) override {
    if (step_.delta > 0) return kInfinity;
    const double high = level(step_.epsilon), low = level(-step_.epsilon);
    const double log_mass_low = -std::log1p(std::exp(-step_.epsilon)), log_mass_high = log_mass_low - step_.epsilon;
    const double peak = std::max({0.0, exponent(excess, high, log_mass_high), exponent(excess, low, log_mass_low)});
    const double shift = peak > 600 ? peak : 0;
    const double sum = term(excess, high, log_mass_high - shift) + term(excess, low, log_mass_low - shift);
    const double size = (excess + 2) * (step_.epsilon + std::abs(high) + std::abs(low)) + shift;
    const double error = (128 + 8 * size) * kUnit;
    if (shift > 0) return (shift + std::log(sum + std::exp(-shift))) * (1 + 8 * kUnit) + error;
    return std::log1p(sum * (1 + error) + kSmallest) * (1 + 8 * kUnit);
  }

 private:
  [[nodiscard]] double level(double l) const {
    return l > 0 ? log_mixture(step_.rate, l) : std::log1p(step_.rate * std::expm1(l));
  }
  [[nodiscard]] double exponent(double excess, double y, double log_mass) const {
    return log_mass + (remove_ ? (1 + excess) * y : -excess * y);
  }
  [[nodiscard]] double term(double excess, double y, double log_mass) const {
    const double loss = remove_ ? y : -y, base = log_mass + (remove_ ? y : 0);
    return scaled_exp_remainder(base, excess * loss) + excess * scaled_exp_remainder(base, -loss);
  }

  ApproximateStep step_;
  bool remove_;
};

}  // namespace

double log_mixture(double rate, double x) {
  if (x < 600) return std::log1p(rate * std::expm1(x));
  return x + std::log(rate) + std::log1p((1 - rate) / rate * std::exp(-x));
}

std::unique_ptr<StepMoment> moment_of(const Step& step, Direction direction) {
  if (const auto* gaussian = std::get_if<GaussianStep>(&step)) return std::make_unique<GaussianMoment>(gaussian->mu);
  if (const auto* sampled = std::get_if<SampledGaussianStep>(&step)) return mixture_moment(*sampled, direction);
  if (const auto* replace = std::get_if<ReplaceSampledGaussianStep>(&step)) return mixture_moment(*replace);
  if (const auto* laplace = std::get_if<LaplaceStep>(&step)) {
    if (laplace->rate < 1) return sampled_laplace_moment(*laplace, direction);
    return std::make_unique<LaplaceMoment>(laplace->scale);
  }
  return std::make_unique<TwoPointMoment>(std::get<ApproximateStep>(step), direction);
}

}  // namespace dpflash::accounting
