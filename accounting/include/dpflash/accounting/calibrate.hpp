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
/// certified epsilon at `delta` does not exceed `target`; what that event holds in the solved-for field is ignored.
/// Rounded to the safe side: noise at most a relative 1e-6 above, rate at most 1e-6 below the best value that the
/// bracket of options.relative_width allows (brackets are asked as narrow as the value needs, see docs/math/README.md);
/// steps are exact for the bracket used and at most 1e12. Some ten calls of certified_epsilon. Throws UnusableInput for
/// a bad plan, event, target or an unknown that the event does not have; NotComputable when no value meets the target,
/// or every value does.
Calibration calibrate(const Plan& plan, std::size_t event, Unknown unknown, Epsilon target, Delta delta,
                      const Options& options = {});

}  // namespace dpflash::accounting
