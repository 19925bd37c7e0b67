// The noise, steps or rate that just meets a target, certified.
#pragma once

#include <cstddef>
#include <dpflash/accounting/accountant.hpp>

namespace dpflash::accounting {

/// A value of the unknown, and the certified epsilon at exactly this value: answer.bracket.upper <= target.
struct Calibration {
  double value = 0;
  Answer answer;
};

/// The smallest noise multiplier, largest count or largest sampling rate of event `event` for which the whole plan's
/// certified epsilon at `delta` does not exceed `target`; what that event holds in the solved-for field is ignored, and
/// a solved-for rate makes the event Poisson-sampled. Brackets are asked at options.relative_width or 1e-6, the
/// smaller. The value is on the safe side, verified at exactly the value returned, and within about a relative 1e-6 of
/// where the upper end meets the target; counts are whole, at most 1e12, and the next one fails (above 1e6: within a
/// relative 1e-7). Noise in [1e-3, 1e9], rate in [1e-15, 1]; a rate of 1 is returned when it is safe. A few
/// certified_epsilon calls from a Renyi guess. Throws UnusableInput for a bad plan, event, target or an unknown that
/// the event does not have; NotComputable when no value meets the target, the other events alone exceed it, or every
/// noise or count meets it.
Calibration calibrate(const Plan& plan, std::size_t event, Unknown unknown, Epsilon target, Delta delta,
                      const Options& options = {});

}  // namespace dpflash::accounting
