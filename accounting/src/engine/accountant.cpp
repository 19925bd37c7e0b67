#include <algorithm>
#include <cmath>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/renyi.hpp>
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

// Far wider than asked, or without an upper end where there is one.
bool wide(const Interval& i, double width) {
  if (i.lower == i.upper) return false;
  return std::isinf(i.upper) || i.upper - i.lower > 10 * width * i.upper;
}

// Where the engines leave a wide bracket, Renyi accounting may still lower its upper end; it always has one.
void lower_upper_end(DirectionAnswer& found, double bound) {
  found.interval.upper = std::clamp(bound, found.interval.lower, found.interval.upper);
}

// The larger of two brackets: the maximum of what they enclose.
DirectionAnswer larger(const DirectionAnswer& a, const DirectionAnswer& b) {
  const Engine engine = a.interval.upper >= b.interval.upper ? a.engine : b.engine;
  return {{std::max(a.interval.lower, b.interval.lower), std::max(a.interval.upper, b.interval.upper)}, engine};
}

}  // namespace

std::string_view name_of(Engine engine) {
  switch (engine) {
    case Engine::automatic:
      return "auto";
    case Engine::lattice:
      return "lattice";
    case Engine::inversion:
      return "inversion";
    case Engine::closed_form:
      return "closed-form";
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
  if (options.engine == Engine::automatic && wide(worst->interval, options.relative_width.value())) {
    lower_upper_end(*worst, rdp_epsilon(plan, delta).bracket.upper);
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
  if (options.engine == Engine::automatic && wide(worst->interval, options.relative_width.value())) {
    lower_upper_end(*worst, rdp_delta(plan, epsilon).bracket.upper);
  }
  // Rounding up may pass what a probability can be.
  worst->interval.upper = std::min(worst->interval.upper, 1.0);
  return answer_of(*worst);
}

}  // namespace dpflash::accounting
