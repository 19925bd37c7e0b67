#include <algorithm>
#include <array>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <string>

#include "clipping/checks.hpp"
#include "clipping/number.hpp"
#include "dpflash/noise/adaptive_clipping.hpp"

namespace dpflash::noise {

using accounting::UnusableInput;

namespace {

void check_range(const char* field, double value, bool allowed, const char* range) {
  if (!allowed) throw UnusableInput(field, written(value), range);
}

void check(const AdaptiveOptions& options, double expected_batch, const Calibration& calibration) {
  check_norm("smallest", options.smallest);
  check_norm("largest", options.largest);
  check_range("first_norm", options.first_norm,
              options.first_norm >= options.smallest && options.first_norm <= options.largest,
              "a number in [smallest, largest]");
  check_range("quantile", options.quantile, options.quantile > 0 && options.quantile < 1, "a number in (0, 1)");
  check_range("learning_rate", options.learning_rate, options.learning_rate > 0 && options.learning_rate <= 10,
              "a number in (0, 10]");
  check_range("expected_batch", expected_batch, expected_batch >= 1 && expected_batch <= 1e12, "a number in [1, 1e12]");
  if (calibration.family() != Family::gaussian)
    throw UnusableInput("calibration.family", std::string(name_of(calibration.family())), "gaussian");
  // A zeroed record still counts as one that was not clipped: it moves the count by 1, not by 1/2.
  if (calibration.plan().adjacency == accounting::Adjacency::replace_special)
    throw UnusableInput("calibration.plan.adjacency", "replace-special",
                        "another one: a zeroed record moves the count as well");
}

/// (z^-2 - (2 sigma_b)^-2)^-1/2 as z / sqrt(1 - r), r = (z / 2 sigma_b)^2. With r <= 1 - 2^-20 the cancellation
/// magnifies the errors of r, 4 u, to 2^-31 at most.
double multiplier_left(double z, double count_noise) {
  const double ratio = z / (2 * count_noise);
  const double left = 1 - ratio * ratio;
  if (!(count_noise > 0 && count_noise <= 1e12 && left >= 0x1p-20))
    throw UnusableInput("count_noise", written(count_noise),
                        "above half the noise multiplier " + written(z) + ", at most 1e12");
  return z / std::sqrt(left) * (1 + 0x1p-30);
}

}  // namespace

AdaptiveClipping::AdaptiveClipping(const AdaptiveOptions& options, double expected_batch,
                                   const Calibration& calibration)
    : options_(options), expected_batch_(expected_batch), calibration_(calibration), norm_(options.first_norm) {
  check(options, expected_batch, calibration);
  count_noise_ = options.count_noise == 0 ? expected_batch / 20 : options.count_noise;
  gradient_multiplier_ = multiplier_left(calibration.noise_multiplier(), count_noise_);
}

Isotropic AdaptiveClipping::mechanism(std::size_t dimension) const {
  return {dimension, norm_, gradient_multiplier_, calibration_};
}

double AdaptiveClipping::update(std::span<const float> factors, NoiseSource& source, const Position& position) {
  double sum = 0;
  for (std::size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] >= 0 && factors[i] <= 1))
      throw UnusableInput("factors[" + std::to_string(i) + "]", written(factors[i]), "a number in [0, 1]");
    sum += factors[i] == 1 ? 0.5 : -0.5;
  }
  return update_from(sum, source, position);
}

double AdaptiveClipping::update_from(double centred_count, NoiseSource& source, const Position& position) {
  if (!(std::abs(centred_count) <= 0x1p50 && std::trunc(2 * centred_count) == 2 * centred_count))
    throw UnusableInput("centred_count", written(centred_count), "a multiple of 1/2, at most 2^50");
  std::array<float, 1> z{};
  source.normal(z, position);
  const double share = 0.5 + (centred_count + count_noise_ * static_cast<double>(z[0])) / expected_batch_;
  const double moved = norm_ * std::exp(-options_.learning_rate * (share - options_.quantile));
  norm_ = std::clamp(moved, options_.smallest, options_.largest);
  return share;
}

}  // namespace dpflash::noise
