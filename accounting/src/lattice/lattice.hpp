// The lattice engine: certified brackets by discretisation and Fourier composition (docs/math/lattice.md).
#pragma once

#include "loss/step.hpp"

namespace dpflash::accounting {

struct LatticeLimits {
  std::size_t bins = 1u << 19;    ///< of one step's table
  std::size_t window = 1u << 20;  ///< of one transform
  int passes = 5;                 ///< refinements of the spacing
  double work = 4e6;              ///< bins and nodes after which nothing is refined: some tenths of a second
};

/// Few steps hold the record, each with a long tail: what the lattice answers with little work and inversion with much.
bool rare_hits(const Composition& composition);

/// Bracket of the epsilon >= 0 at which the composed divergence equals `delta`, for one direction. Tries for
/// upper - lower <= max(relative_width * upper, 1e-9) within the limits; returns the tightest bracket that it
/// certifies, [0, inf] if none. Any composition of at least one step.
Interval lattice_epsilon(const Composition& composition, Direction direction, double delta, double relative_width,
                         const LatticeLimits& limits = {});

/// Bracket of delta at `epsilon` (any sign); width relative to delta.
Interval lattice_delta(const Composition& composition, Direction direction, double epsilon, double relative_width,
                       const LatticeLimits& limits = {});

}  // namespace dpflash::accounting
