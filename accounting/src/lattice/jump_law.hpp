// The law of one step's rare large losses, in cells (docs/math/jumps.md).
#pragma once

#include <vector>

#include "lattice/gaussian_bins.hpp"

namespace dpflash::accounting {

/// One cell of the jump law between two losses: its P-mass split onto its ends with the Q-mass kept, and merged.
struct Cell {
  double left, right;
  double to_left, to_right;  ///< rounded up
  double p, merged;          ///< rounded down; p = 0 below the cut of the lower side
};

/// The part of one step's pair with losses above a cut.
struct JumpLaw {
  std::vector<Cell> cells;
  double mass = 0;    ///< of all jumps, rounded up
  double beyond = 0;  ///< P-mass past the last cell, rounded up
  double slack = 0;   ///< absolute error of every loss, besides a relative one
};

/// Where the jump law is laid out: from `cut` on, dense over points (from, to) in cells of `dense`.
struct Layout {
  double cut_upper, cut_lower;  ///< excess losses above which a jump counts, per side; cut_upper <= cut_lower
  double from, to, dense;
  double tail;  ///< P-mass that may be taken as an infinite loss
};

/// The cells of `pair` (rate below 1) as laid out; each mass is rounded to its side, each loss known to `slack` and 16
/// units roundoff. Cost: one short quadrature a cell, at most some tens of thousands.
JumpLaw jump_law(const GaussianPair& pair, const Layout& layout);

/// Slope of -ln of one step's P-density at the point x. An estimate.
double decay(const GaussianPair& pair, double x);

}  // namespace dpflash::accounting
