#include "inversion/inversion.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "inversion/spectrum.hpp"

namespace dpflash::accounting {
namespace {

using inversion::Model;
using inversion::Pilot;
using inversion::Spectrum;

constexpr double kSmallestTolerance = 1e-13;  // below it the round-off of the transform decides
constexpr double kLargestTolerance = 0.1;

double clamp_tolerance(double x) { return std::clamp(x, kSmallestTolerance, kLargestTolerance); }

/// Root of the estimate of ln delta; NaN if it leaves the range in which the transform means anything.
double estimate_root(const Spectrum& spectrum, double start, double log_delta, double tolerance) {
  const double theta = spectrum.theta();
  double x = start, y = spectrum.log_estimate(x) - log_delta, slope = -theta;
  for (int i = 0; i < 30; ++i) {
    const double step = std::clamp(-y / slope, -4 / theta, 4 / theta);
    const double next = x + step, value = spectrum.log_estimate(next) - log_delta;
    if (!std::isfinite(value)) return value;
    if (step != 0 && (value - y) / step < -0.1 * theta) slope = (value - y) / step;
    x = next;
    y = value;
    if (std::fabs(y) < 1e-3 * tolerance) break;
  }
  return x;
}

/// The smallest tried point right of `root` at which the upper bound of delta is proved to be below its target.
std::optional<double> certified_upper(const Spectrum& spectrum, double root, double log_delta) {
  const double target = log_delta - 1e-15 * std::fabs(log_delta);
  double step = std::max(1.1 * (spectrum.log_upper(root) - target) / spectrum.theta(), 1e-16 * std::fabs(root));
  for (int i = 0; i < 60; ++i, step = 2 * step + 1e-300) {
    const double x = root + step;
    if (!std::isfinite(x)) break;
    if (spectrum.log_upper(x) <= target) return x;
  }
  return std::nullopt;
}

/// The largest tried point left of `root` at which the lower bound of delta is proved to exceed its target, or 0.
double certified_lower(const Spectrum& spectrum, double root, double log_delta) {
  const double target = log_delta + 1e-15 * std::fabs(log_delta);
  const double lowest = spectrum.log_lower(root);
  const double gap = std::isfinite(lowest) ? target - lowest : 0.1;
  double step = std::max(1.1 * gap / spectrum.theta(), 1e-16 * std::fabs(root));
  for (int i = 0; i < 60; ++i, step = 2 * step + 1e-300) {
    const double x = root - step;
    if (!(x > 0)) break;
    if (spectrum.log_lower(x) >= target) return x;
  }
  return 0;
}

struct Attempt {
  Interval interval;
  double root;
};

std::optional<Attempt> attempt(const Model& model, const Pilot& pilot, double log_delta, double tolerance,
                               double work_limit) {
  const auto spectrum = Spectrum::build(model, pilot, tolerance, work_limit);
  if (!spectrum) return std::nullopt;
  if (spectrum->log_upper(0) <= log_delta - 1e-15 * std::fabs(log_delta)) return Attempt{{0, 0}, 0};
  const double root = estimate_root(*spectrum, pilot.epsilon, log_delta, tolerance);
  if (!std::isfinite(root)) return std::nullopt;
  const auto upper = certified_upper(*spectrum, root, log_delta);
  if (!upper) return std::nullopt;
  const double high = std::min(std::max(0.0, *upper), inversion::largest_loss(model));
  return Attempt{{std::min(certified_lower(*spectrum, root, log_delta), high), high}, root};
}

/// The same tilt with what is now known: the answer, and with it the transform's value there.
Pilot corrected(Pilot pilot, double epsilon, double log_delta) {
  pilot.log_main += (log_delta - pilot.log_delta) + pilot.theta * (epsilon - pilot.epsilon);
  pilot.log_delta = log_delta;
  pilot.epsilon = epsilon;
  return pilot;
}

bool valid_delta(double delta) { return delta > 0 && delta < 1; }

}  // namespace

std::optional<Interval> invert_epsilon(const Composition& composition, Direction direction, double delta,
                                       double relative_width, double work_limit) {
  const auto model = inversion::model_of(composition, direction);
  if (!model || !valid_delta(delta) || !(relative_width > 0)) return std::nullopt;
  const double log_delta = std::log(delta);
  auto pilot = inversion::pilot_for_delta(*model, delta);
  if (!pilot || pilot->epsilon <= 0) {
    // Probably delta(0) <= delta: tilt for epsilon 0, where the proof is easiest.
    const auto at_zero = inversion::pilot_for_epsilon(*model, 0);
    if (!at_zero) return std::nullopt;
    const double room = 0.3 * (log_delta - at_zero->log_delta);
    const auto spectrum = Spectrum::build(*model, *at_zero, clamp_tolerance(std::max(room, 1e-6)), work_limit);
    if (spectrum && spectrum->log_upper(0) <= log_delta - 1e-15 * std::fabs(log_delta)) return Interval{0, 0};
    pilot = at_zero;
  }
  std::optional<Interval> best;
  double narrowing = 1;
  for (int i = 0; i < 3; ++i) {
    const double scale = std::max(pilot->epsilon, 1e-3 * pilot->deviation);
    const double tolerance = clamp_tolerance(narrowing * relative_width * pilot->theta * scale);
    const auto found = attempt(*model, *pilot, log_delta, tolerance, work_limit);
    if (!found) break;
    const double width = found->interval.upper - found->interval.lower, asked = relative_width * found->interval.upper;
    if (best && width > 0.9 * (best->upper - best->lower)) break;
    best = found->interval;
    if (width <= asked || tolerance <= kSmallestTolerance) break;
    // Either the pilot's estimate was off, which is known now, or the shares were.
    const Pilot better = corrected(*pilot, found->root, log_delta);
    if (std::fabs(better.log_main - pilot->log_main) < 1) narrowing *= 0.5 * asked / width;
    pilot = better;
  }
  return best;
}

std::optional<Interval> invert_delta(const Composition& composition, Direction direction, double epsilon,
                                     double relative_width, double work_limit) {
  const auto model = inversion::model_of(composition, direction);
  if (!model || !std::isfinite(epsilon) || !(relative_width > 0)) return std::nullopt;
  if (epsilon >= inversion::largest_loss(*model)) return Interval{0, 0};
  const auto pilot = inversion::pilot_for_epsilon(*model, epsilon);
  if (!pilot) return std::nullopt;
  const auto spectrum = Spectrum::build(*model, *pilot, clamp_tolerance(relative_width), work_limit);
  if (!spectrum) return std::nullopt;
  const double upper = spectrum->log_upper(epsilon), lower = spectrum->log_lower(epsilon);
  if (std::isnan(upper) || std::isnan(lower)) return std::nullopt;
  const double trivial = std::max(0.0, -std::expm1(epsilon) * (1 - 1e-15));
  const double high = std::min(1.0, std::exp(upper) * (1 + 1e-15) + 0x1p-1074);
  const double low = std::max(trivial, std::exp(lower) * (1 - 1e-15));
  return Interval{std::min(low, high), high};
}

bool proves_delta_at_most(const Composition& composition, Direction direction, double epsilon, double delta) {
  if (!(delta > 0) || std::isnan(epsilon)) return false;
  if (delta >= 1) return true;
  const auto model = inversion::model_of(composition, direction);
  if (!model) return false;
  if (epsilon >= inversion::largest_loss(*model)) return true;
  double steps = 1;
  for (const auto& phase : model->phases) steps += phase.count;
  const double reach = std::sqrt(2 * (std::log(steps) + 30)), log_delta = std::log(delta);
  const auto holds_at = [&](double t, double fineness) {
    const auto k = inversion::total_cumulant(*model, t, fineness, reach);
    if (!k) return false;
    const double gain = -t * std::log1p(1 / t) - std::log1p(t);
    const double size = std::fabs(k->value) + std::fabs(t * epsilon) + std::fabs(gain) - log_delta;
    return k->value + k->error - t * epsilon + gain + 1e-14 * size <= log_delta;
  };
  const auto theta = inversion::chernoff_theta(*model, epsilon);
  if (theta && holds_at(*theta, 3)) return true;
  // far beyond the bulk the best tilt may not be computable, and a weak one is enough; of very many steps each must be
  // known better
  for (const double r : {1.2, 4.0}) {
    const double t = inversion::round_to_bits(r * (1 - log_delta) / epsilon, 26);
    if (epsilon > 0 && t < 1e15 && holds_at(t, 8)) return true;
  }
  return false;
}

}  // namespace dpflash::accounting
