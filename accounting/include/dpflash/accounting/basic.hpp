// Basic composition: the sum of the steps' own exact epsilons, delta split equally over the steps.
#pragma once

#include <dpflash/accounting/plan.hpp>
#include <dpflash/accounting/quantities.hpp>

namespace dpflash::accounting {

/// Epsilon by basic composition (Dwork, Roth 2014, Theorem 3.16); lower = 0, estimate = upper, rounded up. Each
/// epsilon_delta step first takes its own delta (times the sampling rate) from the budget; the rest is split equally
/// over all other steps, each of which pays its exact one-step epsilon. upper is +inf when the epsilon_delta steps
/// alone exhaust `delta`. Never tight for more than one step: a reference to compare with. Costs one root search per
/// event and direction. Throws UnusableInput, NotComputable. Proof: docs/math/basic-composition.md.
Bracket basic_epsilon(const Plan& plan, Delta delta);

/// Delta by basic composition: the smallest delta for which basic_epsilon does not exceed `epsilon`; rounded up, at
/// most 1; lower = 0, estimate = upper. A negative epsilon is answered with 1.
Bracket basic_delta(const Plan& plan, Epsilon epsilon);

}  // namespace dpflash::accounting
