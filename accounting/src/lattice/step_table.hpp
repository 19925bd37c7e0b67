// Bin tables of the steps' worst-case pairs, in the orientation in which P holds the record.
#pragma once

#include "lattice/bin_table.hpp"
#include "loss/step.hpp"

namespace dpflash::accounting {

/// The losses that matter: what lies below `low` and above `high` goes to the end cells.
struct LossRange {
  double low;
  double high;
};

/// Table of `step` on a lattice of the given spacing whose offset suits the step (a node where its mass concentrates).
/// Never more than `max_bins` bins; throws std::length_error beyond. `loss_error` in the result bounds how far the
/// lattice's losses are from start + j * spacing for the exact pair. Errors: docs/math/discretisation.md.
struct StepTable {
  BinTable table;
  double loss_error = 0;
};
StepTable step_table(const Step& step, double spacing, LossRange range, std::size_t max_bins);

}  // namespace dpflash::accounting
