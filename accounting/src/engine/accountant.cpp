#include <dpflash/accounting/accountant.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/direction.hpp"
#include "inversion/inversion.hpp"
#include "loss/composition.hpp"

namespace dpflash::accounting {
namespace {

Answer answer_of(const DirectionAnswer& d) {
  const double lower = d.interval.lower, upper = std::max(d.interval.upper, d.interval.lower);
  const double estimate = std::isfinite(upper) ? lower + 0.5 * (upper - lower) : upper;
  return {Bracket{lower, std::clamp(estimate, lower, upper), upper}, d.engine};
}

// The larger of two brackets: the maximum of what they enclose.
DirectionAnswer larger(const DirectionAnswer& a, const DirectionAnswer& b) {
  const Engine engine = a.interval.upper >= b.interval.upper ? a.engine : b.engine;
  return {{std::max(a.interval.lower, b.interval.lower), std::max(a.interval.upper, b.interval.upper)}, engine};
}

}  // namespace

std::string_view name_of(Engine engine) {
  switch (engine) {
    case Engine::automatic: return "auto";
    case Engine::lattice: return "lattice";
    case Engine::inversion: return "inversion";
    case Engine::closed_form: return "closed-form";
  }
  return "auto";
}

Answer certified_epsilon(const Plan& plan, Delta delta, const Options& options) {
  const Composition composition = composition_of(plan);
  std::optional<DirectionAnswer> worst;
  for (const Direction direction : directions_of(plan, composition)) {
    // the second direction is dismissed when its epsilon is proved to be at most the first's lower end
    if (worst && proves_delta_at_most(composition, direction, worst->interval.lower, delta.value())) continue;
    const DirectionAnswer found =
        direction_epsilon(composition, direction, delta.value(), options.engine, options.relative_width.value());
    worst = worst ? larger(*worst, found) : found;
  }
  return answer_of(*worst);
}

Answer certified_delta(const Plan& plan, Epsilon epsilon, const Options& options) {
  const Composition composition = composition_of(plan);
  std::optional<DirectionAnswer> worst;
  for (const Direction direction : directions_of(plan, composition)) {
    if (worst && proves_delta_at_most(composition, direction, epsilon.value(), worst->interval.lower)) continue;
    const DirectionAnswer found =
        direction_delta(composition, direction, epsilon.value(), options.engine, options.relative_width.value());
    worst = worst ? larger(*worst, found) : found;
  }
  return answer_of(*worst);
}

}  // namespace dpflash::accounting
