#include "lattice/jumps.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "closed_form/one_step.hpp"
#include "lattice/composition_run.hpp"
#include "lattice/gaussian_bins.hpp"
#include "lattice/pilot.hpp"
#include "lattice/table_parts.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

constexpr std::size_t kCells = 1500;
// Relative slack for the masses of the far tails, differences of none.
constexpr double kTailError = 1e-9;

// One cell of the jump law between two losses: its P-mass split onto its ends with the Q-mass kept, and merged.
struct Cell {
  double left, right;
  double to_left, to_right;  // rounded up
  double p, merged;          // rounded down
};

struct JumpLaw {
  std::vector<Cell> cells;
  double mass = 0;    // of all jumps, rounded up
  double beyond = 0;  // P-mass past the last cell, rounded up
  double slack = 0;   // absolute error of every loss, besides a relative one
};

double p_above(const GaussianPair& pair, double x) {
  const double b = upper_tail(x / pair.sigma), c = upper_tail((x - 1) / pair.sigma);
  return ((1 - pair.rate) * b + pair.rate * c) * (1 + kTailError);
}

// The part of one step's pair with excess losses above `cut`; `tail`: P-mass that may be taken as an infinite loss.
JumpLaw jump_law(const GaussianPair& pair, double cut, double tail) {
  JumpLaw law;
  const double lowest = std::log1p(-pair.rate);
  const double x0 = pair.point(cut);
  const double x1 = std::max({x0 + pair.sigma, 1 + pair.sigma * normal_tail_point(0.5 * tail / pair.rate),
                              pair.sigma * normal_tail_point(0.5 * tail)});
  law.mass = p_above(pair, x0);
  law.beyond = p_above(pair, x1);
  law.slack = 16 * kUnit * std::abs(lowest);
  double from = cut;
  for (std::size_t i = 1; i <= kCells; ++i) {
    const double to = pair.excess(x0 + (x1 - x0) * static_cast<double>(i) / kCells), width = to - from;
    if (!(width > 0)) continue;
    const GaussianBin bin = gaussian_bin(pair, from, to);
    const double to_right = bin.rise / -std::expm1(-width), to_left = bin.fall / std::expm1(width),
                 p = to_left + to_right;
    // widths are differences of relatively exact losses
    const double error = bin.error + 16 * kUnit * (to / width + 1);
    if (p > 0) {
      const double merged = from - std::log1p(-std::min(bin.rise / p * (1 - error), 1 - kUnit));
      law.cells.push_back({lowest + from, lowest + to, to_left * (1 + error), to_right * (1 + error),
                           p * std::max(0.0, 1 - error), lowest + std::clamp(merged, from, to)});
    }
    from = to;
  }
  return law;
}

class JumpCurves {
 public:
  JumpCurves(Curves without, Curves one_less, JumpLaw law, double count)
      : without_(std::move(without)), one_less_(std::move(one_less)), law_(std::move(law)), count_(count) {}

  [[nodiscard]] double upper(double epsilon) const {
    double sum = law_.beyond;
    double at_left = 0, last = -kInfinity;  // a cell's right end is the next one's left
    for (const Cell& c : law_.cells) {
      if (c.left != last) at_left = one_less_.upper.delta(level(epsilon, c.left, -1));
      const double at_right = one_less_.upper.delta(level(epsilon, c.right, -1));
      sum += c.to_left * at_left + c.to_right * at_right;
      at_left = at_right;
      last = c.right;
    }
    const double pair = 0.5 * count_ * count_ * law_.mass * law_.mass;
    return std::min(1.0, (without_.upper.delta(epsilon) + count_ * sum + pair) * (1 + 1e-12));
  }

  [[nodiscard]] double lower(double epsilon) const {
    double sum = 0;
    for (const Cell& c : law_.cells) sum += c.p * one_less_.lower.delta(level(epsilon, c.merged, 1));
    return std::min(1.0, (without_.lower.delta(epsilon) + count_ * sum) * (1 - 1e-12));
  }

 private:
  // epsilon minus a loss, moved by the losses' error to the side given
  [[nodiscard]] double level(double epsilon, double loss, double sign) const {
    return epsilon - loss + sign * (law_.slack + 16 * kUnit * (std::abs(loss) + std::abs(epsilon)));
  }

  Curves without_, one_less_;
  JumpLaw law_;
  double count_;
};

// A point of [low, high] next to the crossing where `above` turns false; {last true, first false}.
template <class F>
Interval crossing(const F& above, double low, double high) {
  for (int i = 0; i < 60 && high - low > 1e-13 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (above(middle) ? low : high) = middle;
  }
  return {low, high};
}

class JumpSearch {
 public:
  JumpSearch(const Composition& composition, double width, const LatticeLimits& limits)
      : composition_(composition), less_(composition), width_(width), limits_(limits) {
    for (std::size_t i = 0; i < composition.phases.size(); ++i) {
      const auto* s = std::get_if<SampledGaussianStep>(&composition.phases[i].step);
      if (s == nullptr) continue;
      ++sampled_;
      pair_ = {s->sigma, s->rate};
      count_ = static_cast<double>(composition.phases[i].count);
      less_.phases[i].count -= 1;
    }
    std::erase_if(less_.phases, [](const Phase& p) { return p.count == 0; });
  }

  [[nodiscard]] bool applies() const { return sampled_ == 1 && composition_.phases.size() == 1 && count_ >= 2; }

  std::optional<Interval> epsilon(double delta) {
    // one step alone, of its share or of all, brackets where a single jump puts the answer
    double guess =
        one_step_epsilon(SampledGaussianStep{pair_.sigma, pair_.rate}, Direction::remove, std::min(0.9, delta / count_))
            .upper;
    std::optional<Interval> best;
    double finer = 1;
    for (int pass = 0; pass < 3; ++pass) {
      const double target = std::max(width_ * guess, 5e-10);
      const auto curves = run(guess, target, std::min(0.1, target / std::max(guess, 1e-300)) * delta, finer);
      if (!curves) break;
      const Interval found = solve(*curves, delta);
      best = best ? meet(*best, found) : found;
      if (best->upper - best->lower <= std::max(width_ * best->upper, 1e-9) || !std::isfinite(best->upper) || spent())
        break;
      const double middle = 0.5 * (found.lower + found.upper);
      finer *= std::abs(middle - guess) < 0.3 * guess ? 0.4 : 0.7;
      guess = middle > 0 ? middle : 0.5 * guess;
    }
    return best;
  }

  std::optional<Interval> delta(double epsilon) {
    const double step = one_step_delta(SampledGaussianStep{pair_.sigma, pair_.rate}, Direction::remove, epsilon).upper;
    double guess = std::min(0.5, count_ * step);
    std::optional<Interval> best;
    double finer = 1;
    for (int pass = 0; pass < 3 && guess > 0; ++pass) {
      const auto curves = run(epsilon, width_ * std::max(std::abs(epsilon), 1e-9), width_ * guess, finer);
      if (!curves) break;
      const Interval found{curves->lower(epsilon), curves->upper(epsilon)};
      best = best ? meet(*best, found) : found;
      if (best->upper - best->lower <= width_ * best->upper || spent()) break;
      finer *= 0.4;
      guess = std::max(found.lower, 1e-3 * found.upper);
    }
    return best;
  }

 private:
  [[nodiscard]] bool spent() const { return work_ > 0.6 * limits_.work; }

  static Interval solve(const JumpCurves& curves, double delta) {
    if (curves.upper(0) <= delta) return {0, 0};
    Interval out{0, kInfinity};
    double high = 1e-9;
    while (high < 1e5 && curves.upper(high) > delta) high *= 4;
    if (high < 1e5) out.upper = crossing([&](double e) { return curves.upper(e) > delta; }, 0, high).upper;
    if (curves.lower(0) > delta) {
      high = std::isfinite(out.upper) ? out.upper : 1e5;
      out.lower = curves.lower(high) > delta
                      ? high
                      : crossing([&](double e) { return curves.lower(e) > delta; }, 0, high).lower;
    }
    return out;
  }

  // Cut, tilts and spacing for an answer near epsilon with `share` of divergence to spend.
  std::optional<JumpCurves> run(double epsilon, double target, double share, double finer) {
    const double mass = std::min({std::sqrt(0.1 * share), 1e10 * share, 0.05}) / count_;
    const double x = std::max(1 + pair_.sigma * normal_tail_point(0.5 * mass / pair_.rate),
                              pair_.sigma * normal_tail_point(0.5 * mass));
    const double lowest = std::log1p(-pair_.rate), cut = lowest + pair_.excess(x);
    const double tail = 1e-2 * share / count_;
    Pilot far(composition_, Direction::remove, tail, cut), near(less_, Direction::remove, tail, cut);
    far.aim_at_epsilon(epsilon);
    // hardly any tilt: its curve is asked for far left of its window too, where what a tilt loses would come back
    // magnified
    near.tilt_by(0.02 / (std::abs(epsilon) + lowest + pair_.excess(1 + 40 * pair_.sigma)));
    const bool bulk_matters = far.log_delta() > std::log(share) - 3;
    const double expected =
        std::min(near.spacing_for(0.5 * target), bulk_matters ? far.spacing_for(0.5 * target) : kInfinity);
    double spacing =
        finer * std::min({expected, 0.25 / far.theta(), 0.25 / near.theta(), std::max(cut - lowest, 1e-300) / 8});
    const double least = (cut - lowest) / (0.9 * static_cast<double>(limits_.bins));
    spacing = std::max(spacing, least);
    for (int attempt = 0; attempt < 12; ++attempt) {
      try {
        const auto tables = step_tables(composition_, Direction::remove, far, spacing, share, cut, limits_.bins);
        const BinTable& table = tables[sampled_index()].table;
        const double end = table.start + static_cast<double>(table.bins()) * spacing;
        std::vector<StepTable> fewer;
        for (std::size_t i = 0; i < tables.size(); ++i) {
          if (i != sampled_index() || count_ > 1) fewer.push_back(tables[i]);
        }
        Curves without = compose_tables(composition_, tables, far.shape(), share, limits_.window);
        Curves one_less = compose_tables(less_, fewer, near.shape(), share, limits_.window);
        work_ += without.work + one_less.work;
        return JumpCurves(std::move(without), std::move(one_less), jump_law(pair_, end - lowest, tail), count_);
      } catch (const TooLong& e) {
        work_ += 0.02 * limits_.work;
        spacing *= std::clamp(1.02 * e.factor, 1.05, 1e6);
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] std::size_t sampled_index() const {
    std::size_t i = 0;
    while (!std::holds_alternative<SampledGaussianStep>(composition_.phases[i].step)) ++i;
    return i;
  }

  const Composition& composition_;
  Composition less_;
  double width_;
  LatticeLimits limits_;
  int sampled_ = 0;
  GaussianPair pair_{1, 0.5};
  double count_ = 0;
  double work_ = 0;
};

}  // namespace

std::optional<Interval> jump_epsilon(const Composition& composition, double delta, double relative_width,
                                     const LatticeLimits& limits) {
  JumpSearch search(composition, relative_width, limits);
  if (!search.applies()) return std::nullopt;
  return search.epsilon(delta);
}

std::optional<Interval> jump_delta(const Composition& composition, double epsilon, double relative_width,
                                   const LatticeLimits& limits) {
  JumpSearch search(composition, relative_width, limits);
  if (!search.applies()) return std::nullopt;
  return search.delta(epsilon);
}

}  // namespace dpflash::accounting
