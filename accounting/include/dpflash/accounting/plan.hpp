// A plan: what was, or will be, released. Field meanings follow Google dp_accounting 0.6's events of the same names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dpflash::accounting {

/// Which pairs of data sets are neighbours.
enum class Adjacency {
  add_or_remove_one,  ///< one record more or less (default)
  replace_one,        ///< one record exchanged for another
  replace_special,    ///< one record zeroed out
  add_one,            ///< only the direction in which a record is added
  remove_one          ///< only the direction in which a record is removed
};

/// The name used in JSON and on the command line, e.g. "add-or-remove-one".
std::string_view name_of(Adjacency adjacency);

/// Gaussian noise of standard deviation `noise_multiplier` times one record's L2 clipping norm; [1e-3, 1e9].
struct Gaussian {
  double noise_multiplier = 0;
};

/// Laplace noise of scale `noise_multiplier` times one record's sensitivity; [1e-3, 1e9].
struct Laplace {
  double noise_multiplier = 0;
};

/// Any mechanism known only to be (epsilon, delta)-DP; epsilon in [0, 1e6], delta in [0, 1].
struct EpsilonDelta {
  double epsilon = 0;
  double delta = 0;
};

using Mechanism = std::variant<Gaussian, Laplace, EpsilonDelta>;

/// Every record takes part.
struct NoSampling {};

/// Every record takes part independently with probability `rate` in [1e-15, 1].
struct PoissonSampling {
  double rate = 1;
};

using Sampling = std::variant<NoSampling, PoissonSampling>;

/// One mechanism, run `count` times; count in [1, 1e12].
struct Event {
  Mechanism mechanism;
  Sampling sampling = NoSampling{};
  std::int64_t count = 1;
  std::string label = {};
};

/// Events composed adaptively under one adjacency.
struct Plan {
  Adjacency adjacency = Adjacency::add_or_remove_one;
  std::vector<Event> events = {};
};

/// The field of one event that a calibration solves for.
enum class Unknown { noise_multiplier, steps, sampling_rate };

/// The name used on the command line: "noise-multiplier", "steps" or "sampling-rate".
std::string_view name_of(Unknown unknown);

/// Checks every field, and that the counts add up to at most 1e15; throws UnusableInput naming the first that is out of
/// range, with its path (`events[2].count`). An empty plan is allowed: it releases nothing, epsilon = 0.
void validate(const Plan& plan);

/// The DP-SGD shorthand: Poisson-sampled Gaussian, `steps` times (no sampling when rate is 1). Ranges as in the events;
/// throws UnusableInput naming noise_multiplier, sampling_rate or steps.
Plan dpsgd_plan(double noise_multiplier, double sampling_rate, std::int64_t steps,
                Adjacency adjacency = Adjacency::add_or_remove_one);

}  // namespace dpflash::accounting
