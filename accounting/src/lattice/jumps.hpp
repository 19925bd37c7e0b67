// Rare large losses taken out of the lattice and added one at a time (docs/math/jumps.md).
#pragma once

#include <optional>

#include "lattice/lattice.hpp"

namespace dpflash::accounting {

struct JumpAnswer {
  Interval interval;
  double work;  ///< bins and nodes handled, as in LatticeLimits
};

/// As lattice_epsilon and lattice_delta, for the remove direction of a composition with exactly one sampled Gaussian
/// phase whose largest losses are rare: the composed curve is that of the steps without them, plus one jump, plus at
/// most the probability of two. Empty when the composition is not of this kind or the split does not pay.
std::optional<JumpAnswer> jump_epsilon(const Composition& composition, double delta, double relative_width,
                                       const LatticeLimits& limits);
std::optional<JumpAnswer> jump_delta(const Composition& composition, double epsilon, double relative_width,
                                     const LatticeLimits& limits);

}  // namespace dpflash::accounting
