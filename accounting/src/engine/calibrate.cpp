#include <algorithm>
#include <cmath>
#include <dpflash/accounting/calibrate.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/renyi.hpp>
#include <sstream>
#include <string>

#include "engine/seek.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

constexpr double kLeastNoise = 1e-3, kMostNoise = 1e9, kMostSteps = 1e12, kLeastRate = 1e-15;
constexpr double kValueTolerance = 5e-7;  // of ln value
constexpr double kGuessTolerance = 2e-2;  // of ln value, for the Rényi guess
constexpr double kFinestWidth = 1e-6;

std::string text(double value) {
  std::ostringstream out;
  out.precision(6);
  out << value;
  return out.str();
}

class Calibrator {
 public:
  Calibrator(const Plan& plan, std::size_t event, Unknown unknown, double target, Delta delta, const Options& options)
      : plan_(plan), event_(event), unknown_(unknown), target_(target), delta_(delta), options_(options) {
    options_.relative_width = RelativeWidth(std::min(options.relative_width.value(), kFinestWidth));
    set(unknown_ == Unknown::noise_multiplier ? 1.0 : unknown_ == Unknown::steps ? 1.0 : 0.5);
    validate(plan_);
  }

  Calibration solve() {
    check_the_others();
    Search search;
    search.snap = [this](double y) { return std::log(to_value(y)); };
    search.slope = unknown_ == Unknown::noise_multiplier ? -1.0 : unknown_ == Unknown::steps ? 0.6 : 1.0;
    search.low = std::log(unknown_ == Unknown::noise_multiplier ? kLeastNoise
                          : unknown_ == Unknown::steps          ? 1
                                                                : kLeastRate);
    search.high = std::log(unknown_ == Unknown::noise_multiplier ? kMostNoise
                           : unknown_ == Unknown::steps          ? kMostSteps
                                                                 : 1);
    search.start = unknown_ == Unknown::noise_multiplier ? 0.0
                   : unknown_ == Unknown::steps          ? std::log(1e3)
                                                         : std::log(0.01);
    guess(search);
    search.tolerance = unknown_ == Unknown::steps ? 1e-7 : kValueTolerance;
    search.excess = [this](double y) { return certified_excess(y); };
    if (!seek(search)) refuse_unreachable();
    if (unknown_ == Unknown::noise_multiplier && best_.value <= kLeastNoise) refuse_trivial("every noise multiplier");
    if (unknown_ == Unknown::steps && best_.value >= kMostSteps) refuse_trivial("1e12 steps");
    return best_;
  }

 private:
  [[nodiscard]] std::string field() const {
    const std::string path = "events[" + std::to_string(event_) + "]";
    if (unknown_ == Unknown::noise_multiplier) return path + ".mechanism.noise_multiplier";
    return path + (unknown_ == Unknown::steps ? ".count" : ".sampling.rate");
  }

  void set(double value) {
    Event& event = plan_.events[event_];
    if (unknown_ == Unknown::steps) {
      event.count = static_cast<std::int64_t>(value);
    } else if (unknown_ == Unknown::sampling_rate) {
      event.sampling = PoissonSampling{value};
    } else if (auto* gaussian = std::get_if<Gaussian>(&event.mechanism)) {
      gaussian->noise_multiplier = value;
    } else if (auto* laplace = std::get_if<Laplace>(&event.mechanism)) {
      laplace->noise_multiplier = value;
    } else {
      throw UnusableInput(field(), "an epsilon_delta event", "a mechanism with a noise multiplier");
    }
  }

  // The value at y: any number, or the integer at or above (a little rounding of ln and exp aside).
  [[nodiscard]] double to_value(double y) const {
    const double x = std::exp(y);
    if (unknown_ == Unknown::steps) return std::clamp(std::ceil(x - std::max(1e-9, 1e-14 * x)), 1.0, kMostSteps);
    return unknown_ == Unknown::sampling_rate ? std::min(x, 1.0) : x;
  }

  [[nodiscard]] double log_ratio(double epsilon) const {
    return epsilon > 0 ? std::log(epsilon / target_) + (epsilon > target_ ? 1e-300 : 0) : -kInfinity;
  }

  double certified_excess(double y) {
    const double value = to_value(y);
    set(value);
    const Answer answer = certified_epsilon(plan_, delta_, options_);
    const double upper = answer.bracket.upper;
    if (upper <= target_) {
      best_ = {value, answer};
      return std::min(0.0, log_ratio(upper));
    }
    return std::max(log_ratio(upper), 1e-18);
  }

  // Moves the start to where Rényi accounting, some tens of microseconds a call, meets the target; it is a few percent
  // off, and its slope there is close.
  void guess(Search& search) {
    double last_y = 0, last = kInfinity;
    Search rough = search;
    rough.tolerance = kGuessTolerance;
    rough.most = 30;
    rough.excess = [&](double y) {
      set(to_value(y));
      const double excess = log_ratio(rdp_epsilon(plan_, delta_).bracket.upper);
      if (std::isfinite(last) && std::isfinite(excess) && y != last_y) {
        const double slope = (excess - last) / (y - last_y);
        if (slope * search.slope > 0) search.slope = std::clamp(slope / search.slope, 0.1, 10.0) * search.slope;
      }
      last_y = y;
      last = excess;
      return excess;
    };
    set(to_value(search.start));
    if (rdp_epsilon(plan_, delta_).bracket.upper == kInfinity) return;
    if (const auto found = seek(rough)) search.start = *found;
  }

  // Monotone in what is composed, so the other events alone must stay below the target.
  void check_the_others() const {
    if (plan_.events.size() == 1) return;
    Plan others = plan_;
    others.events.erase(others.events.begin() + static_cast<std::ptrdiff_t>(event_));
    const Bracket bracket = certified_epsilon(others, delta_, options_).bracket;
    if (bracket.upper > target_) {
      throw NotComputable("no " + field() + " meets epsilon " + text(target_) + ": the other events alone reach " +
                          text(bracket.upper));
    }
  }

  [[noreturn]] void refuse_unreachable() const {
    const char* range = unknown_ == Unknown::noise_multiplier ? "up to 1e9"
                        : unknown_ == Unknown::steps          ? "from 1"
                                                              : "from 1e-15";
    throw NotComputable("no " + field() + " " + range + " meets epsilon " + text(target_) + " at delta " +
                        text(delta_.value()));
  }
  [[noreturn]] void refuse_trivial(const std::string& what) const {
    throw NotComputable(field() + ": " + what + " stays within epsilon " + text(target_) + " at delta " +
                        text(delta_.value()));
  }

  Plan plan_;
  std::size_t event_;
  Unknown unknown_;
  double target_;
  Delta delta_;
  Options options_;
  Calibration best_;
};

}  // namespace

Calibration calibrate(const Plan& plan, std::size_t event, Unknown unknown, Epsilon target, Delta delta,
                      const Options& options) {
  if (event >= plan.events.size()) {
    throw UnusableInput("event", std::to_string(event), "an index below " + std::to_string(plan.events.size()));
  }
  if (!(target.value() > 0) || target.value() == kInfinity) {
    throw UnusableInput("target epsilon", text(target.value()), "a finite number above 0");
  }
  return Calibrator(plan, event, unknown, target.value(), delta, options).solve();
}

}  // namespace dpflash::accounting
