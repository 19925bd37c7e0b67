// Epsilon and delta by inverting the tilted characteristic function of the composed loss (docs/math/inversion.md).
#pragma once

#include <optional>

#include "loss/step.hpp"

namespace dpflash::accounting {

/// Bracket of the epsilon >= 0 at which the composed hockey-stick divergence equals `delta`, for one direction. The
/// width reached may be larger than `relative_width` (round-off, slow decay), never uncertified. Empty when a phase has
/// no transform here, or when the work estimate exceeds `work_limit` (elementary-function evaluations).
std::optional<Interval> invert_epsilon(const Composition& composition, Direction direction, double delta,
                                       double relative_width, double work_limit = 2e7);

/// Bracket of delta at `epsilon` (any sign), width relative to delta; otherwise as invert_epsilon.
std::optional<Interval> invert_delta(const Composition& composition, Direction direction, double epsilon,
                                     double relative_width, double work_limit = 2e7);

/// True only if it is proved that delta(epsilon) <= `delta`; cheap (a Chernoff bound), so false proves nothing.
bool proves_delta_at_most(const Composition& composition, Direction direction, double epsilon, double delta);

}  // namespace dpflash::accounting
