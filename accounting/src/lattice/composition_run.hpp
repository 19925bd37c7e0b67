// One run of the lattice engine at a given spacing and tilt.
#pragma once

#include "lattice/pilot.hpp"
#include "lattice/read_off.hpp"
#include "lattice/step_table.hpp"
#include "loss/step.hpp"

namespace dpflash::accounting {

struct Curves {
  ComposedCurve lower, upper;
  double work = 0;  ///< bins and nodes handled
};

/// Tables, laws, tilts, windows and transforms for both sides, in one stage or, where the window would be long, in two
/// with a coarser lattice for the second. `delta_share`: divergence that truncation may cost. Throws std::length_error
/// when a table would exceed `max_bins` or a transform `max_window`.
Curves run_composition(const Composition& composition, Direction direction, const Pilot& pilot, double spacing,
                       double delta_share, std::size_t max_bins, std::size_t max_window);

/// Tables of every phase, record in P or exchanged as `direction` asks. Losses of sampled Gaussian steps above `cut`
/// (remove only) are left out altogether.
std::vector<StepTable> step_tables(const Composition& composition, Direction direction, const Pilot& pilot,
                                   double spacing, double delta_share, double cut, std::size_t max_bins);

/// The curves of `composition` composed of these tables under the pilot's tilt.
Curves compose_tables(const Composition& composition, const std::vector<StepTable>& tables, const Pilot& pilot,
                      double delta_share, std::size_t max_window);

}  // namespace dpflash::accounting
