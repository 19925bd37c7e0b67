// One direction of a composition, answered by the engines.
#pragma once

#include <dpflash/accounting/accountant.hpp>

#include "loss/step.hpp"

namespace dpflash::accounting {

struct DirectionAnswer {
  Interval interval;
  Engine engine;
};

/// Bracket of the epsilon >= 0 at which the composed divergence equals `delta`; `engine` as in Options. Throws
/// NotComputable when the engine asked for by name cannot answer.
DirectionAnswer direction_epsilon(const Composition& composition, Direction direction, double delta, Engine engine,
                                  double relative_width);

/// Bracket of delta at `epsilon`, otherwise as above.
DirectionAnswer direction_delta(const Composition& composition, Direction direction, double epsilon, Engine engine,
                                double relative_width);

}  // namespace dpflash::accounting
