// From a plan to the worst-case pairs that the engines compose; refuses by name what has no sound answer.
#pragma once

#include <dpflash/accounting/plan.hpp>
#include <vector>

#include "loss/step.hpp"

namespace dpflash::accounting {

/// The worst-case pairs of `plan` under its adjacency (docs/math/dominating-pairs.md): Gaussian releases folded into
/// one, equal steps merged, events that release nothing dropped. Throws UnusableInput (validate) or NotComputable (a
/// mechanism and adjacency without a sound answer, named).
Composition composition_of(const Plan& plan);

/// The directions whose maximum answers the plan: both, or one for add-one, remove-one and symmetric compositions.
std::vector<Direction> directions_of(const Plan& plan, const Composition& composition);

}  // namespace dpflash::accounting
