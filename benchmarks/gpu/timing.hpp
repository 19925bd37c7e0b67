// Times of two pieces of device work, taken in turns so that both meet the same clocks.
#pragma once

#include <functional>

namespace dpflash::benchmarks {

/// Work that is queued on the default stream.
using Work = std::function<void()>;

/// Medians in milliseconds.
struct Pair {
  double baseline;
  double candidate;
  /// baseline / candidate: 1 is as fast.
  [[nodiscard]] double share() const { return baseline / candidate; }
};

/// Runs one after the other `rounds` times, each alone with `pause_ms` of idle device before it: what a launch between
/// other work takes, before the chip's power limit lowers its clock.
Pair in_turns(const Work& baseline, const Work& candidate, int rounds = 21, int pause_ms = 30);

/// Runs each back to back for about half a second: what is left when the power limit rules.
Pair sustained(const Work& baseline, const Work& candidate);

/// Milliseconds of one run of `work`.
double once(const Work& work);

/// The median of single runs, each after a pause.
double alone(const Work& work, int rounds = 11, int pause_ms = 30);

}  // namespace dpflash::benchmarks
