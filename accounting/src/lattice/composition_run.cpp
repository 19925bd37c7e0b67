#include "lattice/composition_run.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "lattice/gaussian_bins.hpp"
#include "lattice/step_table.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// Tilted mass left outside a window: of the last transform, and of one whose result is composed again.
constexpr double kLastTail = -34;   // 2e-15
constexpr double kInnerTail = -40;  // 4e-18

bool symmetric(const Step& step) {
  if (std::holds_alternative<GaussianStep>(step) || std::holds_alternative<ReplaceSampledGaussianStep>(step))
    return true;
  if (const auto* l = std::get_if<LaplaceStep>(&step)) return l->rate == 1;
  if (const auto* a = std::get_if<ApproximateStep>(&step)) return a->rate == 1;
  return false;
}

// A spacing that divides the loss span of a step with atoms at both ends, so that both lie on nodes.
double natural_spacing(const Composition& composition, double spacing) {
  for (const Phase& p : composition.phases) {
    double span = 0;
    if (const auto* l = std::get_if<LaplaceStep>(&p.step); l != nullptr && l->rate == 1) span = 2 / l->scale;
    if (const auto* a = std::get_if<ApproximateStep>(&p.step); a != nullptr && a->rate == 1) span = 2 * a->epsilon;
    if (span > 0) return span / std::max(4.0, std::ceil(span / spacing - 1e-9));
  }
  return spacing;
}

// Losses of one step, record in P, that must be on the lattice.
LossRange loss_range(const Phase& phase, std::size_t index, Direction direction, const Pilot& pilot, double tail,
                     double count) {
  double low, high;
  pilot.tilted_range(index, 1e-18 / count, low, high);
  if (const auto* g = std::get_if<GaussianStep>(&phase.step)) {
    return {std::min(low, 0.0), g->mu * normal_tail_point(tail) + 0.5 * g->mu * g->mu};
  }
  if (const auto* r = std::get_if<ReplaceSampledGaussianStep>(&phase.step)) {
    const double x = 1 + r->sigma * normal_tail_point(tail);
    const GaussianPair pair{r->sigma, r->rate};
    return {std::min(low, 0.0), pair.excess(x) - pair.excess(-x)};
  }
  if (const auto* s = std::get_if<SampledGaussianStep>(&phase.step)) {
    if (direction == Direction::add) return {-kInfinity, -low};
    const GaussianPair pair{s->sigma, s->rate};
    const double x =
        std::max(1 + s->sigma * normal_tail_point(0.5 * tail / s->rate), s->sigma * normal_tail_point(0.5 * tail));
    return {-kInfinity, std::log1p(-s->rate) + pair.excess(x)};
  }
  return {-kInfinity, kInfinity};
}

struct Group {
  std::vector<TiltedLaw> laws;
  std::vector<std::int64_t> counts;
};

std::vector<Power> powers_of(const Group& group) {
  std::vector<Power> out;
  for (std::size_t i = 0; i < group.laws.size(); ++i) {
    if (group.counts[i] > 0) out.push_back({&group.laws[i], group.counts[i]});
  }
  return out;
}

void check(const Window& window, std::size_t max_window) {
  const double length = static_cast<double>(window.high - window.low);
  if (length > static_cast<double>(max_window)) throw TooLong(length / static_cast<double>(max_window));
}

struct Staging {
  std::int64_t groups = 1;  // equal groups of steps in the second stage
  std::size_t factor = 1;   // how much coarser its lattice is
};

// Two stages when one window would be long: groups of about sqrt(steps), coarsened so that both stages cost the same
// width.
Staging plan_stages(const Composition& composition, const Pilot& pilot, double spacing) {
  std::int64_t steps = 0;
  double hits = 0;
  for (const Phase& p : composition.phases) {
    steps += p.count;
    const auto* s = std::get_if<SampledGaussianStep>(&p.step);
    hits += static_cast<double>(p.count) * (s != nullptr ? s->rate : 1.0);
  }
  const double window = 18 * pilot.deviation() / spacing;
  if (window < 2e5 || steps < 256) return {};
  const auto groups = static_cast<std::int64_t>(std::sqrt(static_cast<double>(steps)));
  // a group must be smooth on the coarser lattice: a spike with rare jumps is not
  if (pilot.core() < 3 * spacing && hits < 20 * static_cast<double>(groups)) return {};
  const double inside = static_cast<double>(steps) / static_cast<double>(groups);
  return {groups, static_cast<std::size_t>(std::max(2.0, std::sqrt(inside)))};
}

class Run {
 public:
  Run(const Composition& composition, double delta_share, std::size_t max_window, Staging staging)
      : composition_(composition), delta_share_(delta_share), max_window_(max_window), staging_(staging) {}

  // One side, made ready for its last transform.
  struct Prepared {
    Group group;
    Window window{};
    Side side;
  };

  Prepared prepare(const std::vector<StepTable>& tables, double theta, Side side) const {
    Group group;
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const LatticeLaw law = side == Side::upper ? upper_law(tables[i].table) : lower_law(tables[i].table);
      TiltedLaw tilted = tilt(law, theta, tables[i].loss_error, side);
      if (tilted.mass.empty()) return {{}, {}, side};
      group.laws.push_back(std::move(tilted));
      group.counts.push_back(composition_.phases[i].count);
    }
    if (staging_.groups > 1) group = coarser(group, side);
    if (group.laws.empty()) return {{}, {}, side};
    Prepared out{std::move(group), {}, side};
    out.window = chernoff_window(powers_of(out.group), kLastTail);
    check(out.window, max_window_);
    return out;
  }

  static ComposedCurve curve(const Prepared& prepared) {
    if (prepared.group.laws.empty()) return nothing(prepared.side);
    return ComposedCurve(compose(powers_of(prepared.group), prepared.window), prepared.side);
  }

 private:
  // The trivial curve: 1 or 0 everywhere.
  static ComposedCurve nothing(Side side) {
    Composed c;
    c.law.spacing = 1;
    c.law.infinity = side == Side::upper ? 1 : 0;
    c.law.mass.assign(1, 0.0);
    return ComposedCurve(c, side);
  }

  [[nodiscard]] Group coarser(const Group& fine, Side side) const {
    Group full = fine, rest = fine;
    for (std::size_t i = 0; i < fine.counts.size(); ++i) {
      full.counts[i] = fine.counts[i] / staging_.groups;
      rest.counts[i] = fine.counts[i] % staging_.groups;
    }
    Group out;
    // a part of which nothing certain is left makes the whole unknown, not absent
    if (!add(out, full, staging_.groups, side) || !add(out, rest, 1, side)) return {};
    return out;
  }

  bool add(Group& out, const Group& part, std::int64_t copies, Side side) const {
    const std::vector<Power> powers = powers_of(part);
    if (powers.empty()) return true;
    const double log_untilted = std::log(std::max(1e-300, 1e-2 * delta_share_ / static_cast<double>(copies)));
    const Window window = chernoff_window(powers, kInnerTail, side == Side::upper ? log_untilted : 1);
    check(window, max_window_);
    TiltedLaw law = coarsen(compose(powers, window), staging_.factor, log_untilted, side);
    if (law.mass.empty()) return false;
    out.laws.push_back(std::move(law));
    out.counts.push_back(copies);
    return true;
  }

  const Composition& composition_;
  double delta_share_;
  std::size_t max_window_;
  Staging staging_;
};

}  // namespace

std::vector<StepTable> step_tables(const Composition& composition, Direction direction, const Pilot& pilot,
                                   double spacing, double delta_share, double cut, std::size_t max_bins) {
  double count = 0;
  for (const Phase& p : composition.phases) count += static_cast<double>(p.count);
  std::vector<StepTable> tables;
  for (std::size_t i = 0; i < composition.phases.size(); ++i) {
    const Phase& phase = composition.phases[i];
    LossRange range = loss_range(phase, i, direction, pilot, 1e-2 * delta_share / count, count);
    const bool truncated = std::isfinite(cut) && std::holds_alternative<SampledGaussianStep>(phase.step);
    if (truncated) range.high = cut;
    StepTable made = step_table(phase.step, spacing, range, max_bins);
    if (truncated) made.table.right_p = made.table.right_q = made.table.right_rise = 0;
    const double reach = std::abs(made.table.start) + static_cast<double>(made.table.bins()) * spacing;
    if (direction == Direction::add && !symmetric(phase.step)) {
      made.table = made.table.exchanged();
      // a mass is multiplied by e^{-loss}: what displaces a loss changes it by as much
      made.table.cell_error += 2 * made.loss_error;
      for (double& e : made.table.error) e += 2 * made.loss_error;
      made.loss_error += 4 * kUnit * reach;  // the new start is rounded
    }
    // mu comes out of a sum and a root, to 8 ulps: |L' - L| <= 8 u (|L| + mu^2)
    if (const auto* g = std::get_if<GaussianStep>(&phase.step)) made.loss_error += 32 * kUnit * (reach + g->mu * g->mu);
    tables.push_back(std::move(made));
  }
  return tables;
}

Curves compose_tables(const Composition& composition, const std::vector<StepTable>& tables, const Pilot& pilot,
                      double delta_share, std::size_t max_window) {
  const Run run(composition, delta_share, max_window, plan_stages(composition, pilot, tables.front().table.spacing));
  // both windows are known to fit before the first transform
  const Run::Prepared lower = run.prepare(tables, pilot.theta(), Side::lower);
  const Run::Prepared upper = run.prepare(tables, pilot.theta(), Side::upper);
  Curves out{Run::curve(lower), Run::curve(upper)};
  for (const StepTable& t : tables) out.work += static_cast<double>(t.table.bins());
  out.work += static_cast<double>(out.lower.nodes() + out.upper.nodes());
  return out;
}

Curves run_composition(const Composition& composition, Direction direction, const Pilot& pilot, double spacing,
                       double delta_share, std::size_t max_bins, std::size_t max_window) {
  // each of two stages takes half of the width
  if (plan_stages(composition, pilot, spacing).groups > 1) spacing *= 0.7;
  spacing = natural_spacing(composition, spacing);
  const auto tables = step_tables(composition, direction, pilot, spacing, delta_share, kInfinity, max_bins);
  return compose_tables(composition, tables, pilot, delta_share, max_window);
}

}  // namespace dpflash::accounting
