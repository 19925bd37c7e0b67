#include <algorithm>
#include <cmath>
#include <dpflash/accounting/basic.hpp>
#include <vector>

#include "closed_form/one_step.hpp"
#include "loss/composition.hpp"
#include "reference/moment.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// The plan's steps one by one (composition_of folds Gaussians, which basic composition must not).
class Steps {
 public:
  explicit Steps(const Plan& plan) {
    directions_ = directions_of(plan, composition_of(plan));
    for (const Event& event : plan.events) {
      Plan single{plan.adjacency, {event}};
      single.events[0].count = 1;
      for (const Phase& phase : composition_of(single).phases) add(phase.step, static_cast<double>(event.count));
    }
  }

  /// What the (epsilon, delta) steps take of delta by themselves, rounded up.
  [[nodiscard]] double own_delta() const { return own_delta_ * (1 + rounding()); }
  /// Whether any step's epsilon depends on delta.
  [[nodiscard]] bool splits() const { return sharing_ > 0; }

  /// Sum of epsilons when the splitting steps share `rest` > 0 equally; the largest over the directions.
  [[nodiscard]] double epsilon(double rest) const {
    const double share = rest / sharing_ * (1 - 8 * kUnit);
    double largest = 0;
    for (const Direction direction : directions_) {
      double sum = own_epsilon_;
      for (const Part& part : parts_) sum += part.count * one_step_epsilon(part.step, direction, share).upper;
      largest = std::max(largest, sum);
    }
    return largest * (1 + rounding());
  }

 private:
  struct Part {
    Step step;
    double count;
  };

  void add(const Step& step, double count) {
    ++terms_;
    if (const auto* approximate = std::get_if<ApproximateStep>(&step)) {
      own_epsilon_ += count * log_mixture(approximate->rate, approximate->epsilon) * (1 + 16 * kUnit);
      own_delta_ += count * approximate->rate * approximate->delta;
    } else {
      parts_.push_back({step, count});
      sharing_ += count;
    }
  }
  [[nodiscard]] double rounding() const { return (2 * static_cast<double>(terms_) + 8) * kUnit; }

  std::vector<Direction> directions_;
  std::vector<Part> parts_;
  double own_epsilon_ = 0, own_delta_ = 0, sharing_ = 0;
  std::size_t terms_ = 0;
};

}  // namespace

Bracket basic_epsilon(const Plan& plan, Delta delta) {
  const Steps steps(plan);
  const double rest = (delta.value() - steps.own_delta()) * (1 - 4 * kUnit);
  if (rest < 0 || (steps.splits() && rest <= 0)) return {};
  const double upper = steps.splits() ? steps.epsilon(rest) : steps.epsilon(1);
  return {0, upper, upper};
}

Bracket basic_delta(const Plan& plan, Epsilon epsilon) {
  const Steps steps(plan);
  const auto enough = [&](double log_rest) { return steps.epsilon(std::exp(log_rest)) <= epsilon.value(); };
  const double own = std::min(1.0, steps.own_delta());
  if (epsilon.value() < 0) return {0, 1, 1};
  if (!steps.splits()) {
    const double upper = steps.epsilon(1) <= epsilon.value() ? own : 1;
    return {0, upper, upper};
  }
  double low = -690, high = 0;
  if (!enough(high)) return {0, 1, 1};
  for (int i = 0; i < 52 && high - low > 1e-13; ++i) {
    const double middle = 0.5 * (low + high);
    (enough(middle) ? high : low) = middle;
  }
  const double upper = std::min(1.0, (own + std::exp(high)) * (1 + 16 * kUnit));
  return {0, upper, upper};
}

}  // namespace dpflash::accounting
