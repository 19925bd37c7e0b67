#include "lattice/jumps.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "closed_form/one_step.hpp"
#include "lattice/composition_run.hpp"
#include "lattice/jump_law.hpp"
#include "lattice/pilot.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// Relative slack for the sums over cells.
constexpr double kSumError = 1e-10;

// e^{log_factor - theta epsilon}: the bound of Chernoff on a composed curve, at every level.
struct ChernoffBound {
  double theta = 0, log_factor = 0, loss_error = 0;

  [[nodiscard]] double delta(double epsilon) const {
    const double exponent = log_factor - theta * (epsilon - loss_error);
    return std::min(1.0, std::exp(exponent + kUnit * (64 + 8 * std::abs(log_factor) + 8 * theta * std::abs(epsilon))));
  }
};

// The upper law of a step, for bounds of its powers at many tilts.
class MomentCurve {
 public:
  explicit MomentCurve(const StepTable& step)
      : law_(tilt(upper_law(step.table), 0, step.loss_error, Side::upper)), bound_(law_.mass) {}

  // The bound of `count` copies that is about the best at `epsilon`; `guess`: where to look for its tilt.
  [[nodiscard]] ChernoffBound best(double count, double epsilon, double guess) const {
    ChernoffBound best{0, 0, count * law_.loss_error};
    double least = kInfinity;
    const auto attempt = [&](double theta) {
      const double log_moment =
          count * (law_.log_scale + law_.log_scale_error + theta * law_.start + bound_.log_at(theta * law_.spacing) +
                   256 * kUnit + 8 * kUnit * std::abs(theta * law_.start));
      // sup over v >= 0 of e^{-theta v} (1 - e^{-v})
      const double peak = -theta * std::log1p(1 / theta) - std::log1p(theta);
      const double at = log_moment + peak - theta * epsilon;
      if (at < least) {
        least = at;
        best.theta = theta;
        best.log_factor = log_moment + peak + 64 * kUnit * (std::abs(log_moment) + std::abs(peak) + 1);
      }
    };
    for (double r = 1.0 / 64; r <= 8; r *= 1.5) attempt(guess * r);
    const double middle = best.theta;
    for (const double r : {0.8, 0.87, 0.94, 1.06, 1.13, 1.2}) attempt(middle * r);
    return best;
  }

 private:
  TiltedLaw law_;
  MomentBound bound_;
};

class JumpCurves {
 public:
  // `none_bound` of all steps without a jump, `less_bounds` of one step less.
  JumpCurves(ChernoffBound none_bound, std::vector<ChernoffBound> less_bounds, std::optional<Curves> without,
             Curves one_less, JumpLaw law, double count)
      : none_bound_(none_bound),
        less_bounds_(std::move(less_bounds)),
        without_(std::move(without)),
        one_less_(std::move(one_less)),
        law_(std::move(law)),
        count_(count),
        start_(one_less_.upper.start()),
        at_start_(std::min(1.0, one_less_.upper.delta(start_))) {
    // every cell asks for both, at every level that the search tries
    if (one_less_.upper.nodes() < 8 * law_.cells.size()) one_less_.upper.tabulate();
    if (one_less_.lower.nodes() < 8 * law_.cells.size()) one_less_.lower.tabulate();
  }

  [[nodiscard]] double upper(double epsilon) const {
    double sum = law_.beyond;
    double at_left = 0, last = -kInfinity;  // a cell's right end is the next one's left
    for (const Cell& c : law_.cells) {
      if (c.left != last) at_left = less_above(level(epsilon, c.left, -1));
      const double at_right = less_above(level(epsilon, c.right, -1));
      sum += c.to_left * at_left + c.to_right * at_right;
      at_left = at_right;
      last = c.right;
    }
    const double two = 0.5 * count_ * (count_ - 1) * law_.mass * law_.mass;
    const double value = (none_above(epsilon) + count_ * sum + two) * (1 + kSumError);
    return value < 1 ? value : 1;  // 1 for NaN
  }

  [[nodiscard]] double lower(double epsilon) const {
    double sum = 0;
    for (const Cell& c : law_.cells) {
      if (c.p > 0) sum += c.p * less_below(level(epsilon, c.merged, 1));
    }
    const double none = without_ ? without_->lower.delta(epsilon) : 0;
    const double value = (none + count_ * sum) * (1 - kSumError);
    return value > 0 ? std::min(1.0, value) : 0;  // 0 for NaN
  }

 private:
  [[nodiscard]] double none_above(double epsilon) const {
    const double bound = none_bound_.delta(epsilon);
    return without_ ? std::min(bound, without_->upper.delta(epsilon)) : bound;
  }

  // A curve is convex in e^level and at most 1 at 0: left of the window the chord bounds it too.
  [[nodiscard]] double less_above(double level) const {
    double value = one_less_.upper.delta(level);
    if (level >= start_) {
      // far right of its bulk the lattice sees only its own noise
      for (const ChernoffBound& b : less_bounds_) value = std::min(value, b.delta(level));
      return value;
    }
    const double chord = 1 - std::exp(level - start_) * (1 - at_start_) * (1 - 8 * kUnit);
    return std::min(value, std::min(1.0, chord * (1 + 4 * kUnit)));
  }

  // Also at least the P-mass less e^level.
  [[nodiscard]] double less_below(double level) const {
    const double value = one_less_.lower.delta(level);
    if (level >= 0) return value;
    const double line = -std::expm1(level) * (1 - 8 * kUnit) - count_ * law_.mass;
    return std::max(value, line);
  }

  // epsilon minus a loss, moved by the losses' error to the side given
  [[nodiscard]] double level(double epsilon, double loss, double sign) const {
    return epsilon - loss + sign * (law_.slack + 16 * kUnit * (std::abs(loss) + std::abs(epsilon)));
  }

  ChernoffBound none_bound_;
  std::vector<ChernoffBound> less_bounds_;
  std::optional<Curves> without_;
  Curves one_less_;
  JumpLaw law_;
  double count_, start_, at_start_;
};

// Brackets the place in [least, most] where a falling function of epsilon crosses `target`: first a level with the
// function above it, then one with it at most there; either may stay where it started. Every level that is returned
// was evaluated, so nothing rests on the function's falling.
template <class F>
Interval crossing(const F& f, double target, double guess, double step, double least, double most, double tolerance) {
  double low = least, high = most, at_low = kInfinity, at_high = -1;
  const auto put = [&](double at) {
    const double value = f(at);
    if (value > target) {
      low = at;
      at_low = value;
    } else {
      high = at;
      at_high = value;
    }
    return value > target;
  };
  double at = std::clamp(guess, least, most);
  const bool above = put(at);
  for (int i = 0; i < 60; ++i, step *= 4) {
    at = above ? std::min(most, at + step) : std::max(least, at - step);
    if (put(at) != above || at == most || at == least) break;
  }
  for (int i = 0; i < 80 && high - low > tolerance * high && at_high >= 0; ++i) {
    double next = 0.5 * (low + high);
    // by the logarithms where both are known, away from the ends; every third step halves
    if (i % 3 != 2 && std::isfinite(at_low) && at_high > 0) {
      const double share = std::log(at_low / target) / std::log(at_low / at_high);
      next = low + std::clamp(share, 0.02, 0.98) * (high - low);
    }
    if (!(next > low && next < high)) break;
    put(next);
  }
  return {low, high};
}

class JumpSearch {
 public:
  JumpSearch(const Composition& composition, double width, const LatticeLimits& limits)
      : composition_(composition), less_(composition), width_(width), limits_(limits) {
    if (composition.phases.size() != 1) return;
    const auto* s = std::get_if<SampledGaussianStep>(&composition.phases.front().step);
    if (s == nullptr) return;
    pair_ = {s->sigma, s->rate};
    count_ = static_cast<double>(composition.phases.front().count);
    lowest_ = std::log1p(-pair_.rate);
    less_.phases.front().count -= 1;
  }

  [[nodiscard]] bool applies() const { return count_ >= 2; }
  [[nodiscard]] double work() const { return work_; }

  std::optional<Interval> epsilon(double delta) {
    // one step's share of delta puts a single jump's answer
    double guess =
        one_step_epsilon(composition_.phases.front().step, Direction::remove, std::min(0.9, delta / count_)).upper;
    if (!(guess > 0) || !std::isfinite(guess)) {
      Pilot pilot(composition_, Direction::remove, 1e-3 * delta / count_);
      pilot.aim_at_delta(delta);
      guess = std::max(1e-9, pilot.epsilon());
    }
    std::optional<Interval> best;
    double finer = 1;
    for (int pass = 0; pass < kPasses; ++pass) {
      const double target = std::max(width_ * guess, 5e-10);
      const auto curves = run(guess, target, delta, finer);
      if (!curves) break;
      const Interval found = solve(*curves, delta, guess, target);
      const double before = best ? best->upper - best->lower : kInfinity;
      best = best ? meet(*best, found) : found;
      const double gap = best->upper - best->lower, wanted = std::max(width_ * best->upper, 1e-9);
      if (gap <= wanted || !std::isfinite(best->upper) || spent() || gap > kStalled * before) break;
      const double middle = 0.5 * (best->lower + best->upper);
      if (std::abs(middle - guess) < 0.1 * guess) {
        finer *= std::clamp(std::sqrt(0.5 * wanted / gap), 0.1, 0.8);
      } else {
        finer *= 0.8;
      }
      guess = middle > 0 ? middle : 0.5 * guess;
    }
    return best;
  }

  std::optional<Interval> delta(double epsilon) {
    const double step = one_step_delta(composition_.phases.front().step, Direction::remove, epsilon).upper;
    double guess = std::min(0.5, count_ * step);
    std::optional<Interval> best;
    double finer = 1;
    for (int pass = 0; pass < kPasses && guess > 0; ++pass) {
      const auto curves = run(epsilon, 0, guess, finer);
      if (!curves) break;
      const Interval found{curves->lower(epsilon), curves->upper(epsilon)};
      const double before = best ? best->upper - best->lower : kInfinity;
      best = best ? meet(*best, found) : found;
      const double gap = best->upper - best->lower;
      if (gap <= width_ * best->upper || spent() || gap > kStalled * before) break;
      finer *= std::clamp(std::sqrt(0.5 * width_ * best->upper / gap), 0.1, 0.8);
      guess = std::max(found.lower, 1e-3 * found.upper);
    }
    return best;
  }

 private:
  static constexpr int kPasses = 5;
  // Epsilons beyond are not looked for.
  static constexpr double kLargest = 1e5;
  // As in the plain search: what leaves more than this share of the width will not be mended by a finer lattice.
  static constexpr double kStalled = 0.8;

  [[nodiscard]] bool spent() const { return work_ > 0.6 * limits_.work; }

  static Interval solve(const JumpCurves& curves, double delta, double guess, double target) {
    if (curves.upper(0) <= delta) return {0, 0};
    const double tolerance = 0.02 * target / std::max(guess, target);
    Interval out{0, kInfinity};
    out.upper = crossing([&](double e) { return curves.upper(e); }, delta, guess, target, 0, kLargest, tolerance).upper;
    if (!(out.upper < kLargest)) out.upper = kInfinity;
    out.lower = crossing([&](double e) { return curves.lower(e); }, delta, guess, target, 0, kLargest, tolerance).lower;
    // ends that contradict each other would disprove the bounds: then nothing is claimed
    return out.lower <= out.upper ? out : Interval{0, kInfinity};
  }

  struct Part {
    Curves curves;
    StepTable table;
    Interval end;  // the excess loss at which it is cut off
  };

  // The composition cut off near `cut`, on a lattice as fine as the limits allow.
  std::optional<Part> part(const Composition& composition, const Pilot& pilot, double spacing, double share,
                           double cut) {
    for (int attempt = 0; attempt < 12; ++attempt) {
      try {
        auto tables = step_tables(composition, Direction::remove, pilot, spacing, share, cut, limits_.bins);
        const BinTable& table = tables.front().table;
        const double end = table.start + static_cast<double>(table.bins()) * spacing - lowest_;
        const double slack = tables.front().loss_error + 16 * kUnit * (end + std::abs(lowest_));
        Curves curves = compose_tables(composition, tables, pilot, share, limits_.window);
        work_ += curves.work;
        return Part{std::move(curves), std::move(tables.front()), {end - slack, end + slack}};
      } catch (const TooLong& e) {
        work_ += 0.02 * limits_.work;
        spacing *= std::clamp(1.02 * e.factor, 1.05, 1e6);
      }
    }
    return std::nullopt;
  }

  // Cut, tilts and spacings for an answer near (epsilon, delta); `target`: width in epsilon, 0: the width is of delta.
  std::optional<JumpCurves> run(double epsilon, double target, double delta, double finer) {
    // how fast the divergence falls where one jump makes it
    const double x_answer = pair_.point(std::max(epsilon - lowest_, 1e-12));
    const double slope = std::max(1e-3, decay(pair_, x_answer) * rise(x_answer));
    if (target == 0) target = width_ / std::max(slope, 1.0);
    const double share = std::min(0.1, 0.2 * target * std::max(slope, 1.0)) * delta;
    const double mass = std::min(std::sqrt(share), 0.05) / count_;
    const double x_cut = std::max(1 + pair_.sigma * normal_tail_point(0.5 * mass / pair_.rate),
                                  pair_.sigma * normal_tail_point(0.5 * mass));
    const double cut = pair_.excess(x_cut), tail = 1e-2 * share / count_;

    Pilot near(less_, Direction::remove, tail, lowest_ + cut);
    near.tilt_by(1e-6);
    const double mean = near.mean();
    double theta = slope;
    for (int i = 0; i < 60; ++i, theta *= 0.7) {
      near.tilt_by(theta);
      if (near.mean() - mean < 0.5 * epsilon) break;
    }
    const double near_spacing =
        std::max(finer * std::min({near.spacing_for(0.3 * target), 0.25 / near.theta(), cut / 16}), affordable(cut));
    const auto less = part(less_, near, near_spacing, share, lowest_ + cut);
    if (!less) return std::nullopt;

    Pilot far(composition_, Direction::remove, tail, lowest_ + cut);
    far.aim_at_epsilon(epsilon);
    const MomentCurve moments(less->table);
    const ChernoffBound bound = moments.best(count_, epsilon, far.theta());
    Interval cut_at = less->end;
    std::optional<Curves> without;
    if (bound.delta(epsilon) > 0.3 * share) {
      const double spacing =
          std::max(finer * std::min({far.spacing_for(0.5 * target), 0.25 / far.theta(), cut / 16}), affordable(cut));
      auto all = part(composition_, far, spacing, share, lowest_ + cut);
      if (all) {
        cut_at = {std::min(cut_at.lower, all->end.lower), std::max(cut_at.upper, all->end.upper)};
        without = std::move(all->curves);
      }
    }
    const Layout where =
        layout(cut_at, epsilon - near.mean(), near.deviation(), target * std::max(slope, 1.0), tail, finer);
    std::vector<ChernoffBound> less_bounds;
    for (const double share_of : {1.0, 0.4, 0.1}) {
      const double at = share_of * std::max(epsilon - cut, 0.1 * epsilon);
      near.aim_at_epsilon(at);
      less_bounds.push_back(moments.best(count_ - 1, at, near.theta()));
    }
    return JumpCurves(bound, std::move(less_bounds), std::move(without), std::move(less->curves),
                      jump_law(pair_, where), count_);
  }

  // The finest spacing at which a table fits the limits.
  [[nodiscard]] double affordable(double cut) const { return cut / (0.9 * static_cast<double>(limits_.bins)); }

  // dx / d(loss) at a point
  [[nodiscard]] double rise(double x) const { return pair_.sigma * pair_.sigma / -std::expm1(-pair_.excess(x)); }

  // Dense where a jump of about `jump`, smeared by `deviation`, decides; `accuracy` relative in the divergence.
  [[nodiscard]] Layout layout(const Interval& cut, double jump, double deviation, double accuracy, double tail,
                              double finer) const {
    const double x = pair_.point(std::max({jump - lowest_, cut.lower, 1e-300})), sigma = pair_.sigma;
    const double slope = std::max(decay(pair_, x), 1 / sigma);
    Layout out{cut.lower, cut.upper, 0, 0, 0, tail};
    out.from = pair_.point(std::max({jump - 8 * deviation - lowest_, 0.3 * jump, cut.lower, 1e-300}));
    out.to = x + std::min(25 / slope, 9 * sigma);
    out.dense = std::max(1e-12, finer * std::sqrt(2 * std::min(0.3, accuracy)) / slope);
    return out;
  }

  const Composition& composition_;
  Composition less_;
  double width_;
  LatticeLimits limits_;
  GaussianPair pair_{1, 0.5};
  double count_ = 0, lowest_ = 0;
  double work_ = 0;
};

}  // namespace

std::optional<JumpAnswer> jump_epsilon(const Composition& composition, double delta, double relative_width,
                                       const LatticeLimits& limits) {
  JumpSearch search(composition, relative_width, limits);
  if (!search.applies()) return std::nullopt;
  const auto found = search.epsilon(delta);
  return found ? std::optional(JumpAnswer{*found, search.work()}) : std::nullopt;
}

std::optional<JumpAnswer> jump_delta(const Composition& composition, double epsilon, double relative_width,
                                     const LatticeLimits& limits) {
  JumpSearch search(composition, relative_width, limits);
  if (!search.applies()) return std::nullopt;
  const auto found = search.delta(epsilon);
  return found ? std::optional(JumpAnswer{*found, search.work()}) : std::nullopt;
}

}  // namespace dpflash::accounting
