// The expected squared error of each structure (docs/math/structured-noise.md, section 10).
#pragma once

#include "dpflash/noise/choose.hpp"

namespace dpflash::noise::structure {

/// What every row of the table is computed from.
struct Terms {
  const PublicKnowledge& knowledge;
  double headroom;
  double noise_multiplier;
};

/// Throws UnusableInput for what no release can have.
void check_knowledge(const PublicKnowledge& knowledge);

/// One row each, total and ratio left open.
Ranked isotropic(const Terms& terms);
Ranked weighted(const Terms& terms);
Ranked block_diagonal(const Terms& terms);
Ranked sparse(const Terms& terms);
Ranked low_rank(const Terms& terms);
Ranked matrix_variate(const Terms& terms);

}  // namespace dpflash::noise::structure
