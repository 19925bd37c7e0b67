#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <numbers>
#include <string>

#include "dpflash/noise/discrete.hpp"

namespace dpflash::noise {

namespace {

void require_positive(double value, const char* field) {
  if (!(value > 0) || !std::isfinite(value))
    throw accounting::UnusableInput(field, std::to_string(value), "a finite number above 0");
}

}  // namespace

double discrete_laplace_variance(double scale) {
  require_positive(scale, "scale");
  const double s = std::sinh(0.5 / scale);
  return 0.5 / (s * s);
}

double discrete_gaussian_variance(double sigma) {
  require_positive(sigma, "sigma");
  if (sigma < 1) {
    double mass = 0;
    double moment = 0;
    // Smallest terms first; beyond k = 12 they are below e^-60 of the first ones.
    for (int k = 12; k >= 1; --k) {
      const double q = std::exp(-(k * k - 1.0) / (2 * sigma * sigma));
      mass += q;
      moment += k * k * q;
    }
    // Relative to the term k = 1, which alone may be far below 1.
    const double first = std::exp(-1 / (2 * sigma * sigma));
    return 2 * first * moment / (1 + 2 * first * mass);
  }
  // Poisson's summation formula: the series of e^(-2 pi^2 sigma^2 m^2), which m = 1, 2 exhaust.
  const double c = 2 * std::numbers::pi * std::numbers::pi * sigma * sigma;
  const double q1 = std::exp(-c);
  const double q2 = std::exp(-4 * c);
  return sigma * sigma * (1 + 2 * ((1 - 2 * c) * q1 + (1 - 8 * c) * q2)) / (1 + 2 * (q1 + q2));
}

}  // namespace dpflash::noise
