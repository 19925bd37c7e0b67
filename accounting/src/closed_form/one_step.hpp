// Exact hockey-stick curves of compositions that need no engine: one step of any kind, or Gaussians alone.
#pragma once

#include <optional>

#include "loss/step.hpp"

namespace dpflash::accounting {

/// Certified delta of one step at `epsilon` (any sign) in one direction; for a ReplaceSampledGaussianStep too.
Interval one_step_delta(const Step& step, Direction direction, double epsilon);

/// Certified smallest epsilon >= 0 with one-step delta <= `delta`; +inf when none.
Interval one_step_epsilon(const Step& step, Direction direction, double delta);

/// The only step of a composition that is one step, or whose phases fold into one Gaussian; empty otherwise.
std::optional<Step> as_one_step(const Composition& composition);

}  // namespace dpflash::accounting
