// The Gaussian hockey-stick curve to a few units in the last place, without cancellation (docs/math/closed-forms.md).
#pragma once

#include "loss/step.hpp"

namespace dpflash::accounting {

/// delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu), the curve of N(mu, 1) against N(0, 1).
/// mu in (0, 1e12], epsilon any finite number. The interval contains the value for every mu' within 8 units in the last
/// place of `mu` (a mu comes out of a sum and a root). Cost: under a microsecond for mu > 1, a few microseconds below.
Interval gaussian_delta(double mu, double epsilon);

/// Mills ratio m(x) = Phi(-x) / phi(x) and its slope q(x) = -m'(x) = 1 - x m(x) > 0, each to a relative error of 100
/// units roundoff, for x >= -1.
struct Mills {
  double ratio;
  double slope;
};
Mills mills(double x);

}  // namespace dpflash::accounting
