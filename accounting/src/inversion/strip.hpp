// Error of the trapezoid rule through the strip of analyticity, and rigorous cumulants (docs/math/inversion.md, section
// 4).
#pragma once

#include <vector>

#include "inversion/nodes.hpp"

namespace dpflash::accounting::inversion {

/// Angles phi0 = d/sigma^2 at which the strip |Im x| < d is tried.
std::vector<double> strip_angles(double sigma);

/// Upper bound of the integral of |F_t(x + i d)| over the real line, divided by that of the weights, for the angle phi0
/// and frequency t >= 0; infinity when it overflows. `nodes` must reach into both tails.
double strip_integral(const Nodes& nodes, double phi0, double t);

/// Upper bound of the same for the part 1 + a v that the Bernoulli sum subtracts, not divided by anything.
double strip_linear(const Nodes& nodes, double phi0);

/// 2 N / (exp(2 pi d / spacing) - 1) for N = `integral`, rounded up.
double trapezoid_error(double integral, double phi0, double sigma, double spacing);

/// The spacing at which that error is `error`.
double spacing_for(double integral, double phi0, double sigma, double error);

/// ln M(theta) of one step and a bound of its absolute error (quadrature, window, round-off).
struct Cumulant {
  double value;
  double error;
};
Cumulant cumulant(const Nodes& nodes, double z);

}  // namespace dpflash::accounting::inversion
