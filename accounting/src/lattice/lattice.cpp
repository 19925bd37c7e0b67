#include "lattice/lattice.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "lattice/composition_run.hpp"
#include "lattice/jumps.hpp"
#include "lattice/pilot.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// Absolute width in epsilon that always suffices (half of what is promised, for the rounding of the ends).
constexpr double kAbsolute = 5e-10;
// A pass that leaves more than this share of the width has met something that no finer lattice mends.
constexpr double kStalled = 0.8;

class Search {
 public:
  Search(const Composition& composition, Direction direction, double width, const LatticeLimits& limits)
      : composition_(composition), direction_(direction), width_(width), limits_(limits) {
    for (const Phase& p : composition.phases) count_ += static_cast<double>(p.count);
  }

  // `known`: bracket that was found otherwise.
  Interval epsilon(double delta, const Interval& known) {
    Pilot pilot(composition_, direction_, 1e-3 * width_ * delta / count_);
    pilot.aim_at_delta(delta);
    Interval best = known;
    double spacing = 0;
    for (int pass = 0; pass < limits_.passes; ++pass) {
      const double guess = std::isfinite(best.upper) ? best.upper : std::max(0.0, pilot.epsilon());
      const double target = std::max(width_ * guess, kAbsolute);
      const auto curves = run(pilot, target, std::min(0.1, target * std::max(1.0, pilot.theta())) * delta, spacing);
      if (!curves) break;
      const double before = best.upper - best.lower;
      Interval found{curves->lower.epsilon(delta), curves->upper.epsilon(delta)};
      merge(best, found);
      const double gap = best.upper - best.lower;
      if (gap <= std::max(width_ * best.upper, 2 * kAbsolute) || gap > kStalled * before) break;
      // a bracket that says where the answer is beats the pilot's guess
      if (gap < 0.5 * best.upper && std::abs(best.upper - pilot.epsilon()) > 0.3 * pilot.deviation()) {
        pilot.aim_at_epsilon(0.5 * (best.lower + best.upper));
      }
      if (!refine(spacing, gap / std::max(width_ * best.upper, kAbsolute))) break;
    }
    return best;
  }

  Interval delta(double epsilon, const Interval& known) {
    Pilot pilot(composition_, direction_, 1e-60 / count_);
    pilot.aim_at_epsilon(epsilon);
    const double guess = std::min(0.5, std::exp(pilot.log_delta()) + pilot.infinity());
    pilot = Pilot(composition_, direction_, std::max(1e-300, 1e-3 * width_ * guess / count_));
    pilot.aim_at_epsilon(epsilon);
    Interval best = known;
    double spacing = 0, scale = guess;
    for (int pass = 0; pass < limits_.passes; ++pass) {
      const auto curves = run(pilot, 0.8 * width_ / (pilot.theta() + 1e-3), width_ * scale, spacing);
      if (!curves) break;
      const double before = best.upper - best.lower;
      merge(best, {curves->lower.delta(epsilon), curves->upper.delta(epsilon)});
      const double gap = best.upper - best.lower;
      if (gap <= width_ * best.upper || gap > kStalled * before) break;
      if (best.lower > 0) scale = best.lower;
      if (!refine(spacing, gap / (width_ * best.upper))) break;
    }
    return best;
  }

 private:
  static void merge(Interval& best, const Interval& found) {
    if (std::isnan(found.lower) || std::isnan(found.upper)) return;
    best = meet(best, {std::min(found.lower, found.upper), std::max(found.lower, found.upper)});
  }

  // Runs at the spacing that the pilot expects to reach `target` in epsilon, or at the refined one if given.
  std::optional<Curves> run(const Pilot& pilot, double target, double delta_share, double& spacing) {
    if (spacing == 0) spacing = first_spacing(pilot, target);
    for (int attempt = 0; attempt < 24 && std::isfinite(spacing); ++attempt) {
      try {
        Curves curves =
            run_composition(composition_, direction_, pilot, spacing, delta_share, limits_.bins, limits_.window);
        work_ += curves.work;
        last_work_ = curves.work;
        return curves;
      } catch (const TooLong& e) {
        work_ += 0.02 * limits_.work;
        spacing *= std::clamp(1.02 * e.factor, 1.05, 1e6);
        coarsest_ = std::max(coarsest_, spacing * 0.99);
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] double first_spacing(const Pilot& pilot, double target) const {
    // the tilt must not vary much over a bin, nor a bin be wider than the bulk of the sum
    return std::min({pilot.spacing_for(0.8 * target), 0.25 / pilot.theta(),
                     std::max(0.1 * pilot.deviation(), 0.01 / pilot.theta())});
  }

  // A spacing for `excess` times too wide a bracket; false when the limits forbid one that pays.
  [[nodiscard]] bool refine(double& spacing, double excess) const {
    // what is left must hold both laws' nodes, inversely proportional to the spacing
    const double affordable = last_work_ / std::max(1.0, limits_.work - work_);
    const double next = spacing * std::max(affordable, std::clamp(std::sqrt(0.6 / std::min(excess, 1e6)), 0.05, 0.8));
    if (next > 0.85 * spacing) return false;
    if (next < coarsest_) {
      if (spacing <= coarsest_ * 1.02) return false;
      spacing = coarsest_;
      return true;
    }
    spacing = next;
    return true;
  }

  const Composition& composition_;
  Direction direction_;
  double width_;
  LatticeLimits limits_;
  double count_ = 0;
  double coarsest_ = 0;  // spacings below this exceed the limits
  double work_ = 0, last_work_ = 0;
};

// Expected number of steps that include the record, below which its large losses are rare enough to be taken apart
// first; and the noise multiplier above which a step's loss has no tail worth it.
constexpr double kRareHits = 100;
constexpr double kTailless = 3;
// Share of the work allowed that must be left for a second way.
constexpr double kWorthwhile = 0.5;

// The two ways to use the lattice, the likelier first; the second only where the first leaves a wide bracket.
template <class Plain, class Jumps, class Narrow>
Interval either(const Composition& composition, Direction direction, const Interval& all, const LatticeLimits& limits,
                const Plain& plain, const Jumps& jumps, const Narrow& narrow) {
  if (direction == Direction::add) return plain(all, limits);
  if (rare_hits(composition)) {
    const auto found = jumps();
    if (!found) return plain(all, limits);
    LatticeLimits rest = limits;
    rest.work -= found->work;
    const Interval bracket = meet(all, found->interval);
    const bool useful = std::isfinite(bracket.upper) && bracket.lower > 0;
    return narrow(bracket) || (useful && rest.work < kWorthwhile * limits.work) ? bracket : plain(bracket, rest);
  }
  const Interval found = plain(all, limits);
  if (narrow(found)) return found;
  const auto more = jumps();
  return more ? meet(found, more->interval) : found;
}

}  // namespace

bool rare_hits(const Composition& composition) {
  double hits = 0;
  bool tail = false;
  for (const Phase& p : composition.phases) {
    if (const auto* s = std::get_if<SampledGaussianStep>(&p.step)) {
      hits += s->rate * static_cast<double>(p.count);
      tail = tail || s->sigma < kTailless;
    }
  }
  return tail && hits < kRareHits;
}

Interval lattice_epsilon(const Composition& composition, Direction direction, double delta, double relative_width,
                         const LatticeLimits& limits) {
  return either(
      composition, direction, {0, kInfinity}, limits,
      [&](const Interval& known, const LatticeLimits& rest) {
        return Search(composition, direction, relative_width, rest).epsilon(delta, known);
      },
      [&] { return jump_epsilon(composition, delta, relative_width, limits); },
      [&](const Interval& i) {
        return std::isfinite(i.upper) && i.upper - i.lower <= std::max(relative_width * i.upper, 2 * kAbsolute);
      });
}

Interval lattice_delta(const Composition& composition, Direction direction, double epsilon, double relative_width,
                       const LatticeLimits& limits) {
  return either(
      composition, direction, {0, 1}, limits,
      [&](const Interval& known, const LatticeLimits& rest) {
        return Search(composition, direction, relative_width, rest).delta(epsilon, known);
      },
      [&] { return jump_delta(composition, epsilon, relative_width, limits); },
      [&](const Interval& i) { return i.upper - i.lower <= relative_width * i.upper; });
}

}  // namespace dpflash::accounting
