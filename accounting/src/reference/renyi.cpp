#include <algorithm>
#include <boost/math/tools/minima.hpp>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/renyi.hpp>
#include <memory>
#include <string>
#include <vector>

#include "loss/composition.hpp"
#include "reference/moment.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

constexpr double kSmallestExcess = 1e-6, kLargestExcess = 1e7;  // order - 1
constexpr int kSearchBits = 15;  // of ln(order - 1); the value is flat there, so this costs 1e-9 of it

// K of a whole composition in one direction.
class ComposedMoment {
 public:
  ComposedMoment(const Composition& composition, Direction direction) {
    for (const Phase& phase : composition.phases) {
      parts_.push_back({static_cast<double>(phase.count), moment_of(phase.step, direction)});
      pure_ += static_cast<double>(phase.count) * largest_loss(phase.step, direction);
    }
  }

  double operator()(double excess) const {
    double sum = 0;
    for (const Part& part : parts_) sum += part.count * part.moment->log_moment(excess);
    return sum * (1 + (2 * static_cast<double>(parts_.size()) + 2) * kUnit);
  }

  /// Sum of the steps' largest losses: the limit of D at infinite order, rounded up.
  [[nodiscard]] double pure_epsilon() const {
    return pure_ * (1 + (2 * static_cast<double>(parts_.size()) + 32) * kUnit);
  }

 private:
  struct Part {
    double count;
    std::unique_ptr<StepMoment> moment;
  };

  static double largest_loss(const Step& step, Direction direction) {
    double top = kInfinity, rate = 1;
    if (const auto* laplace = std::get_if<LaplaceStep>(&step)) {
      top = 1 / laplace->scale;
      rate = laplace->rate;
    }
    if (const auto* approximate = std::get_if<ApproximateStep>(&step);
        approximate != nullptr && approximate->delta == 0) {
      top = approximate->epsilon;
      rate = approximate->rate;
    }
    if (top == kInfinity || rate == 1) return top;
    return direction == Direction::remove ? log_mixture(rate, top) : -std::log1p(rate * std::expm1(-top));
  }

  std::vector<Part> parts_;
  double pure_ = 0;
};

// The moments of a plan's directions. The search follows one direction (remove, which dominates add for the symmetric
// noises here: Mironov, Talwar, Zhang 2019, theorem 5); what it finds is charged for all, so soundness does not need
// that.
class PlanMoments {
 public:
  explicit PlanMoments(const Plan& plan) {
    const Composition composition = composition_of(plan);
    empty_ = composition.phases.empty();
    for (const Direction direction : directions_of(plan, composition)) moments_.emplace_back(composition, direction);
  }

  [[nodiscard]] bool empty() const { return empty_; }
  [[nodiscard]] double leading(double excess) const { return moments_.front()(excess); }
  [[nodiscard]] double largest(double excess) const {
    double value = 0;
    for (const auto& moment : moments_) value = std::max(value, moment(excess));
    return value;
  }
  [[nodiscard]] double pure_epsilon() const {
    double value = 0;
    for (const auto& moment : moments_) value = std::max(value, moment.pure_epsilon());
    return value;
  }

 private:
  std::vector<ComposedMoment> moments_;
  bool empty_ = false;
};

// Upper bound of the total variation distance: Pinsker, and Bretagnolle-Huber (Canonne 2022, theorem 1), from
// KL <= D_order for any order > 1.
double total_variation(const PlanMoments& moments) {
  const double divergence = moments.largest(kSmallestExcess) / kSmallestExcess;
  return std::sqrt(std::min(divergence / 2, -std::expm1(-divergence))) * (1 + 8 * kUnit);
}

// Epsilon that the moment `k` at `excess` gives, rounded up; may be negative.
double epsilon_at(double k, double excess, double delta, RenyiConversion conversion) {
  const double needed = -std::log(delta);
  const bool improved = conversion == RenyiConversion::improved;
  const double shrink = improved ? std::log1p(1 / excess) : 0, bonus = improved ? std::log1p(excess) : 0;
  const double value = (k + (needed - bonus)) / excess - shrink;
  return value + 8 * kUnit * ((k + needed + bonus) / excess + shrink);
}

double log_delta_at(double k, double excess, double epsilon, RenyiConversion conversion) {
  const bool improved = conversion == RenyiConversion::improved;
  const double shrink = improved ? excess * std::log1p(1 / excess) : 0, bonus = improved ? std::log1p(excess) : 0;
  const double value = k - excess * epsilon - shrink - bonus;
  return value + 8 * kUnit * (k + excess * epsilon + shrink + bonus);
}

// Minimises a function of the excess that is quasi-convex (docs/math/renyi.md, section 7) from a guess; returns the
// excess. Values of +inf are allowed on the right.
template <class F>
double minimise(const F& f, double guess) {
  const double lowest = std::log(kSmallestExcess), highest = std::log(kLargestExcess);
  const auto at = [&](double t) { return f(std::exp(t)); };
  double middle = std::clamp(std::log(guess), lowest, highest), value = at(middle), left = lowest, right = highest;
  // Walks downhill from `middle` and sets the bracket's end beyond it; true when it moved.
  const auto walk = [&](double step, double& behind, double& ahead) {
    bool moved = false;
    for (double end = std::clamp(middle + step, lowest, highest); end != middle;
         step *= 1.7, end = std::clamp(middle + step, lowest, highest)) {
      const double next = at(end);
      if (!(next < value)) {
        ahead = end;
        return moved;
      }
      behind = middle;
      middle = end;
      value = next;
      moved = true;
    }
    ahead = middle;
    return moved;
  };
  if (!walk(0.4, left, right)) walk(-0.4, right, left);
  const auto found = boost::math::tools::brent_find_minima(at, left, right, kSearchBits);
  return std::exp(found.second < value ? found.first : middle);
}

Bracket from_above(double upper) { return {0, upper, upper}; }

double square_root_guess(double numerator, double k_at_one) {
  return k_at_one > 0 && k_at_one < kInfinity ? std::sqrt(2 * numerator / k_at_one) : 1.0;
}

}  // namespace

double renyi_divergence(const Plan& plan, double order) {
  if (!(order > 1)) throw UnusableInput("order", std::to_string(order), "a number in (1, inf]");
  const PlanMoments moments(plan);
  if (moments.empty()) return 0;
  if (order == kInfinity) return moments.pure_epsilon();
  const double excess = order - 1;
  return moments.largest(excess) / excess * (1 + 2 * kUnit);
}

RenyiAnswer rdp_epsilon(const Plan& plan, Delta delta, RenyiConversion conversion) {
  const PlanMoments moments(plan);
  if (moments.empty()) return {from_above(0), kInfinity};
  const double reference = moments.leading(1);
  if (reference == kInfinity) return {from_above(kInfinity), kInfinity};
  const auto objective = [&](double a) { return epsilon_at(moments.leading(a), a, delta.value(), conversion); };
  const double excess = minimise(objective, square_root_guess(-std::log(delta.value()), reference));
  double upper = std::max(0.0, epsilon_at(moments.largest(excess), excess, delta.value(), conversion));
  double order = 1 + excess;
  if (const double pure = moments.pure_epsilon(); pure < upper) {
    upper = pure;
    order = kInfinity;
  }
  if (upper > 0 && reference < 1 && conversion == RenyiConversion::improved &&
      total_variation(moments) <= delta.value()) {
    upper = 0;
    order = 1 + kSmallestExcess;
  }
  return {from_above(upper), order};
}

RenyiAnswer rdp_delta(const Plan& plan, Epsilon epsilon, RenyiConversion conversion) {
  if (epsilon.value() < 0) return {from_above(1), kInfinity};
  const PlanMoments moments(plan);
  if (moments.empty() || moments.pure_epsilon() <= epsilon.value()) return {from_above(0), kInfinity};
  const double reference = moments.leading(1);
  if (reference == kInfinity) return {from_above(1), kInfinity};
  const auto objective = [&](double a) { return log_delta_at(moments.leading(a), a, epsilon.value(), conversion); };
  const double guess = reference > 0 ? std::max(0.01, epsilon.value() / reference) : 1;
  const double excess = minimise(objective, guess);
  const double log_delta = log_delta_at(moments.largest(excess), excess, epsilon.value(), conversion);
  double upper = std::min(1.0, std::exp(log_delta) * (1 + 4 * kUnit) + kSmallest), order = 1 + excess;
  if (conversion == RenyiConversion::improved && reference < 1) {
    if (const double distance = total_variation(moments); distance < upper) {
      upper = distance;
      order = 1 + kSmallestExcess;
    }
  }
  return {from_above(upper), order};
}

}  // namespace dpflash::accounting
