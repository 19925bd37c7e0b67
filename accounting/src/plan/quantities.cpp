#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/quantities.hpp>

#include "plan/number.hpp"

namespace dpflash::accounting {

Epsilon::Epsilon(double value) : value_(value) {
  if (std::isnan(value)) throw UnusableInput("epsilon", shortest(value), "a number");
}

Delta::Delta(double value) : value_(value) {
  if (!(value > 0 && value < 1)) throw UnusableInput("delta", shortest(value), "a number in (0, 1)");
}

NoiseMultiplier::NoiseMultiplier(double value) : value_(value) {
  if (!(value > 0 && std::isfinite(value))) {
    throw UnusableInput("noise_multiplier", shortest(value), "a finite number above 0");
  }
}

SamplingRate::SamplingRate(double value) : value_(value) {
  if (!(value > 0 && value <= 1)) throw UnusableInput("sampling_rate", shortest(value), "a number in (0, 1]");
}

RelativeWidth::RelativeWidth(double value) : value_(value) {
  if (!(value >= 1e-12 && value <= 1)) throw UnusableInput("relative_width", shortest(value), "a number in [1e-12, 1]");
}

}  // namespace dpflash::accounting
