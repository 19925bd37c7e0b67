// Bound of the tilted characteristic function for all large frequencies (docs/math/inversion.md, section 5).
#pragma once

#include <vector>

#include "inversion/nodes.hpp"

namespace dpflash::accounting::inversion {

/// Uniform components that the tilted density of one step's loss contains: |phi(t)| <= 1 - sum mass (1 - env(t
/// width/2)).
class Decay {
 public:
  Decay(const Nodes& nodes, double count);

  /// Upper bound, non-increasing in t, of count ln|phi(s)| for all s >= t.
  double log_bound(double t) const;

 private:
  struct Layer {
    double mass;
    double width;
  };
  std::vector<Layer> layers_;
  double count_;
};

}  // namespace dpflash::accounting::inversion
