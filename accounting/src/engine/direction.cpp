#include "engine/direction.hpp"

#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>

#include "closed_form/one_step.hpp"
#include "inversion/inversion.hpp"
#include "lattice/lattice.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// Absolute width in epsilon that is always narrow enough.
constexpr double kAbsolute = 1e-9;

// Elementary-function evaluations that inversion may spend before the lattice is asked, and once it has failed.
constexpr double kCheapWork = 2e6;
constexpr double kDearWork = 3e7;

// What may be lost to underflow in a divergence: up to 1e12 steps times 1e5 terms below the smallest normal double. A
// divergence down to kDeepest may be asked of the lattice, where that is below every relative error.
constexpr double kLost = 1e-285;
constexpr double kDeepest = 1e-265;

// Relative width below which the lattice costs more than a dear inversion.
constexpr double kNarrow = 1e-5;
// Share of the width asked that inversion is asked for: its estimate may miss by a little.
constexpr double kMargin = 0.5;

// The probability that some step of the composition shows a record outright (loss +inf), rounded down and up.
Interval infinite_part(const Composition& composition, Direction direction) {
  double log_none = 0, slack = 0;
  for (const Phase& p : composition.phases) {
    const auto* a = std::get_if<ApproximateStep>(&p.step);
    if (a == nullptr || (direction == Direction::add && a->rate < 1)) continue;
    const double term = static_cast<double>(p.count) * std::log1p(-a->rate * a->delta);
    log_none += term;
    slack += 16 * kUnit * std::abs(term);
  }
  if (log_none == 0) return {0, 0};
  return {-std::expm1(log_none + slack) * (1 - 4 * kUnit), -std::expm1(log_none - slack) * (1 + 4 * kUnit)};
}

// Kullback-Leibler divergence of one step, rounded up; infinity where it has no closed bound here.
double divergence(const Step& step) {
  if (const auto* g = std::get_if<GaussianStep>(&step)) return 0.5 * g->mu * g->mu * (1 + 64 * kUnit);
  // at most ln(1 + chi^2), chi^2 = q^2 (e^{1/sigma^2} - 1)
  if (const auto* s = std::get_if<SampledGaussianStep>(&step)) {
    const double exponent = 1 / (s->sigma * s->sigma);  // its rounding counts as many times as it is large
    return std::log1p(s->rate * s->rate * std::expm1(exponent) * (1 + (64 + 4 * exponent) * kUnit)) * (1 + 8 * kUnit);
  }
  return kInfinity;
}

// The composed total variation is at most 1 - prod (1 - that of each step), by coupling the steps one by one, and by
// Pinsker's inequality at most the root of half the sum of their divergences.
bool proves_zero(const Composition& composition, Direction direction, double delta) {
  double log_equal = 0, sum = 0;
  for (const Phase& p : composition.phases) {
    const auto count = static_cast<double>(p.count);
    log_equal += count * std::log1p(-one_step_delta(p.step, direction, 0).upper);
    sum += count * divergence(p.step);
  }
  const double slack = 1 + 64 * kUnit * static_cast<double>(composition.phases.size());
  const double coupled = -std::expm1(log_equal * slack) * (1 + 4 * kUnit);
  return std::min(coupled, std::sqrt(0.5 * sum * slack) * (1 + 4 * kUnit)) <= delta;
}

// What the engines share between epsilon and delta queries.
struct Query {
  Interval start;  // known beforehand
  bool epsilon;
  double width;

  [[nodiscard]] bool narrow(const Interval& i) const {
    const double gap = i.upper - i.lower;
    return std::isfinite(i.upper) && (gap <= width * i.upper || (epsilon && gap <= kAbsolute));
  }
};

template <class Invert, class Lattice>
DirectionAnswer ask(const Query& query, Engine engine, bool rare, const Invert& invert, const Lattice& lattice) {
  if (engine == Engine::lattice) return {meet(query.start, lattice()), Engine::lattice};
  if (engine == Engine::inversion) {
    const auto found = invert(kDearWork);
    if (!found)
      throw NotComputable("the inversion engine has no certified answer for this plan; use --engine auto or lattice");
    return {meet(query.start, *found), Engine::inversion};
  }
  Interval best = query.start;
  // where a narrow bracket is wanted the lattice is dear too, unless it takes the rare large losses apart
  const bool dear_first = query.width < kNarrow && !rare;
  if (const auto found = invert(dear_first ? kDearWork : kCheapWork)) {
    best = meet(best, *found);
    // close to a narrow width the lattice would spend seconds and gain nothing
    Query nearly = query;
    nearly.width *= dear_first ? 1.1 : 1;
    if (nearly.narrow(best)) return {best, Engine::inversion};
  }
  const Interval from_inversion = best;
  best = meet(best, lattice());
  if (query.narrow(best)) return {best, Engine::lattice};
  if (const auto found = dear_first ? std::nullopt : invert(kDearWork)) best = meet(best, *found);
  const bool inversion = best.upper == from_inversion.upper && best.lower == from_inversion.lower;
  return {best, inversion ? Engine::inversion : Engine::lattice};
}

}  // namespace

DirectionAnswer direction_epsilon(const Composition& composition, Direction direction, double delta, Engine engine,
                                  double relative_width) {
  if (composition.phases.empty()) return {{0, 0}, Engine::closed_form};
  const Interval infinite = infinite_part(composition, direction);
  if (infinite.lower > delta) return {{kInfinity, kInfinity}, Engine::closed_form};
  if (proves_zero(composition, direction, delta)) return {{0, 0}, Engine::closed_form};
  if (engine == Engine::automatic || engine == Engine::closed_form) {
    if (const auto step = as_one_step(composition))
      return {one_step_epsilon(*step, direction, delta), Engine::closed_form};
    if (engine == Engine::closed_form) throw NotComputable("this plan has no closed form; use --engine auto");
  }
  const Query query{{0, kInfinity}, true, relative_width};
  return ask(
      query, engine, direction == Direction::remove && rare_hits(composition),
      [&](double work) { return invert_epsilon(composition, direction, delta, kMargin * relative_width, work); },
      [&] {
        return delta < kDeepest ? Interval{0, kInfinity}
                                : lattice_epsilon(composition, direction, delta, relative_width);
      });
}

DirectionAnswer direction_delta(const Composition& composition, Direction direction, double epsilon, Engine engine,
                                double relative_width) {
  const double floor = epsilon < 0 ? -std::expm1(epsilon) : 0;  // any pair: delta >= 1 - e^epsilon
  if (composition.phases.empty()) return {{floor * (1 - 4 * kUnit), floor * (1 + 4 * kUnit)}, Engine::closed_form};
  const Interval infinite = infinite_part(composition, direction);
  if (engine == Engine::automatic || engine == Engine::closed_form) {
    if (const auto step = as_one_step(composition))
      return {one_step_delta(*step, direction, epsilon), Engine::closed_form};
    if (engine == Engine::closed_form) throw NotComputable("this plan has no closed form; use --engine auto");
  }
  const Query query{{std::max(floor * (1 - 4 * kUnit), infinite.lower), 1}, false, relative_width};
  DirectionAnswer found = ask(
      query, engine, direction == Direction::remove && rare_hits(composition),
      [&](double work) { return invert_delta(composition, direction, epsilon, kMargin * relative_width, work); },
      [&] { return lattice_delta(composition, direction, epsilon, relative_width); });
  // the smallest doubles are not known to be what they say: never zero where it is not proved
  found.interval.upper = std::min(1.0, found.interval.upper + kLost);
  if (found.interval.lower < kLost) found.interval.lower = 0;
  return found;
}

}  // namespace dpflash::accounting
