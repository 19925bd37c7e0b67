#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <string>

#include "dpflash/noise/grid.hpp"

namespace dpflash::noise {

namespace {

using accounting::UnusableInput;

// Section 4 of docs/math/grid-mechanism.md, at 16 bits; all but the last fall as 2^(bits - 16).
constexpr double kRootMeanSquare = 9e-11;  // of the relative errors of the probabilities, weighted by them
constexpr double kLargest = 1.5e-9;        // of these errors up to 14 standard deviations
constexpr double kOutside = 1.6e-44;       // probability beyond 14 standard deviations
constexpr double kExponent = 100;          // the concentration bound fails with probability e^-100
constexpr double kUp = 1 + 1e-12;          // more than all roundings here

void require_count(double value, const char* field) {
  if (!(value >= 0 && value <= 1e18)) throw UnusableInput(field, std::to_string(value), "a number in [0, 1e18]");
}

}  // namespace

GridCharge grid_charge(double dimension, double releases, int bits) {
  require_count(dimension, "dimension");
  require_count(releases, "releases");
  if (bits < 8 || bits > 16) throw UnusableInput("bits", std::to_string(bits), "an integer in [8, 16]");
  const double draws = dimension * releases * kUp;
  if (!(draws <= 1e18 * (1 + 1e-9)))
    throw UnusableInput("dimension * releases", std::to_string(draws), "a number in [0, 1e18]");
  if (draws == 0) return {};
  const double unit = std::ldexp(1.0, bits - 16);
  // |ln(1 + e)| for |e| up to the largest error, and the second moment of it.
  const double largest = kLargest * unit * (1 + 2e-9);
  const double second = kRootMeanSquare * unit * kRootMeanSquare * unit * (1 + 1e-8);
  const double worst = draws * largest;
  const double likely =
      draws * (second + kOutside) + std::sqrt(2 * draws * second * kExponent) + 4.0 / 3.0 * largest * kExponent;
  return {std::min(worst, likely) * kUp, (draws * kOutside + std::exp(-kExponent)) * kUp};
}

Guarantee with_charge(double epsilon, accounting::Delta delta, const GridCharge& charge) {
  if (!(epsilon >= 0)) throw UnusableInput("epsilon", std::to_string(epsilon), "a number of at least 0, or +inf");
  Guarantee out{(epsilon + 2 * charge.epsilon) * kUp, delta.value()};
  if (charge.epsilon == 0 && charge.delta == 0) return {epsilon, delta.value()};
  out.delta = std::exp(charge.epsilon) * delta.value() * kUp;
  if (charge.delta > 0) out.delta += (1 + std::exp(epsilon + charge.epsilon)) * charge.delta * kUp;
  out.delta = std::min(out.delta, 1.0);
  return out;
}

}  // namespace dpflash::noise
