// Rényi moments of the sampled Laplace pair: two atoms and a smooth density in between, by Gauss-Legendre panels so
// short that their error is below 1e-17 of the panel (docs/math/renyi.md, section 6).
#include <algorithm>
#include <boost/math/quadrature/gauss.hpp>
#include <cmath>

#include "reference/exp_remainder.hpp"
#include "reference/moment.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

class SampledLaplaceMoment : public StepMoment {
 public:
  SampledLaplaceMoment(const LaplaceStep& step, Direction direction)
      : top_(1 / step.scale), rate_(step.rate), remove_(direction == Direction::remove) {}

  double log_moment(double excess) override {
    excess_ = excess;
    const double heavy = remove_ ? top_ : -top_;
    const double peak = remove_ ? (1 + excess) * level(heavy) : -excess * level(heavy);
    shift_ = std::max(0.0, peak - 600);
    // Q = Lap(0) in terms of its loss l: 1/2 at -top, e^-top / 2 at top, e^(-(top + l)/2) / 4 between.
    double sum = 0.5 * term(-top_) + 0.5 * std::exp(-top_) * term(top_);
    double at = heavy;
    const double far = -heavy;
    while (remove_ ? at > far : at < far) {
      const double slope = std::min(1.0, share(at) * (remove_ ? 1.0 : 2.0));
      const double width = std::min({1.0, 2 / (1 + (1 + excess) * slope), std::abs(at - far)});
      const double next = width == std::abs(at - far) ? far : at + (remove_ ? -width : width);
      sum += panel(std::min(at, next), std::max(at, next));
      at = next;
      const double rest = std::max(term(at), term(far)) * mass(std::min(at, far), std::max(at, far));
      if (rest < 1e-17 * sum) {
        sum += rest;
        break;
      }
    }
    const double steep = std::max(level(top_), -level(-top_)) + (top_ > 600 ? std::abs(std::log(rate_)) : 0);
    const double size = (1 + excess) * steep + 2 * top_ + shift_;
    const double error = (256 + 16 * size) * kUnit;
    if (shift_ > 0) return (shift_ + std::log(sum + std::exp(-shift_))) * (1 + 8 * kUnit) + error;
    return std::log1p(sum * (1 + error) + kSmallest) * (1 + 8 * kUnit);
  }

 private:
  [[nodiscard]] double level(double l) const { return log_level(l, rate_); }
  static double log_level(double l, double rate) {
    return l < 600 ? std::log1p(rate * std::expm1(l)) : l + std::log(rate) + (1 - rate) / rate * std::exp(-l);
  }
  [[nodiscard]] double share(double l) const { return 1 / (1 + (1 - rate_) / rate_ * std::exp(-l)); }

  // (P/Q)^(a+1) - 1 - (a+1)(P/Q - 1) for remove, and the same of Q/P weighted by P for add; over e^shift.
  [[nodiscard]] double term(double l) const {
    const double y = level(l), loss = remove_ ? y : -y;
    const double base = (remove_ ? y : 0) - shift_;
    return scaled_exp_remainder(base, excess_ * loss) + excess_ * scaled_exp_remainder(base, -loss);
  }

  // Probability under Q of a loss in [low, high] within the smooth part.
  [[nodiscard]] double mass(double low, double high) const {
    return -0.5 * std::exp(-0.5 * (top_ + low)) * std::expm1(-0.5 * (high - low));
  }

  [[nodiscard]] double panel(double low, double high) const {
    using Rule = boost::math::quadrature::gauss<double, 20>;
    const double half = 0.5 * (high - low), middle = 0.5 * (low + high);
    double sum = 0;
    for (std::size_t i = 0; i < Rule::abscissa().size(); ++i) {
      const double x = Rule::abscissa()[i] * half;
      sum += Rule::weights()[i] * (density(middle - x) * term(middle - x) + density(middle + x) * term(middle + x));
    }
    return sum * half;
  }
  [[nodiscard]] double density(double l) const { return 0.25 * std::exp(-0.5 * (top_ + l)); }

  double top_, rate_;
  bool remove_;
  double excess_ = 0, shift_ = 0;
};

}  // namespace

std::unique_ptr<StepMoment> sampled_laplace_moment(const LaplaceStep& step, Direction direction) {
  return std::make_unique<SampledLaplaceMoment>(step, direction);
}

}  // namespace dpflash::accounting
