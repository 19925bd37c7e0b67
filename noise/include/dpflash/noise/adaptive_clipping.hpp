// A clipping norm that follows a quantile of the gradients' norms, its own release included in the bill.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/clipping.hpp>
#include <dpflash/noise/isotropic.hpp>
#include <dpflash/noise/source.hpp>
#include <span>

namespace dpflash::noise {

struct AdaptiveOptions {
  double first_norm = 1;       ///< C_0; within [smallest, largest]
  double quantile = 0.5;       ///< share of records that should not be clipped; in (0, 1)
  double learning_rate = 0.2;  ///< of the logarithm of the norm; in (0, 10]
  double count_noise = 0;      ///< sigma_b, of the count of unclipped records; 0: a twentieth of the expected batch
  double smallest = 1e-6;      ///< the norm stays in [smallest, largest], within [1e-30, 1e30]
  double largest = 1e6;
};

/// Quantile-adaptive clipping (Andrew, Thakkar, McMahan, Ramaswamy 2021). A step releases the gradients at clipping
/// norm C_t with noise z_d C_t, and the count sum (b_i - 1/2) with noise sigma_b, b_i being 1 when example i was not
/// clipped: sensitivity 1/2. With z_d = (z^-2 - (2 sigma_b)^-2)^-1/2, rounded up, both together are *one* Gaussian of
/// noise multiplier z (their theorem 1), so the calibration pays for everything, one release a step. C_t itself
/// depends on earlier releases alone. Proof: docs/math/clipping.md, section 5.
class AdaptiveClipping {
 public:
  /// `expected_batch`: the declared one, in [1, 1e12]. `calibration`: a Gaussian one, not for replace_special, whose
  /// zeroed record would move the count by 1; its noise multiplier is z. Throws UnusableInput for values out of range
  /// and when sigma_b is at most z / 2 (1 + 2^-20): the count alone would cost more than the whole budget.
  AdaptiveClipping(const AdaptiveOptions& options, double expected_batch, const Calibration& calibration);

  /// C_t.
  [[nodiscard]] double norm() const noexcept { return norm_; }
  [[nodiscard]] double count_noise() const noexcept { return count_noise_; }
  /// z_d, rounded up; above z.
  [[nodiscard]] double gradient_multiplier() const noexcept { return gradient_multiplier_; }
  /// Flat clipping at C_t.
  [[nodiscard]] Clipping clipping() const { return Clipping::flat(norm_); }
  /// Noise for a gradient clipped by clipping(): clip_norm() is C_t, the scale z_d C_t rounded up. Its calibration is
  /// the joint one, and is spent once for the gradient and the count together. For step t alone: after `update` ask
  /// again.
  [[nodiscard]] Isotropic mechanism(std::size_t dimension) const;

  /// Releases the noisy share of unclipped records, 1/2 + (sum (b_i - 1/2) + sigma_b z) / expected_batch, z being draw
  /// `position`, and moves the norm: C_{t+1} = C_t exp(-learning_rate (share - quantile)), within [smallest, largest].
  /// `factors` are those of the whole step's batch under clipping(): b_i = 1 where a factor is 1. Call it once a step.
  /// Returns the share; it may lie outside [0, 1]. Throws ReusedNoise, UnusableInput for a factor outside [0, 1].
  double update(std::span<const float> factors, NoiseSource& source, const Position& position);
  /// The same from the sum of (b_i - 1/2), as a device gives it. Throws UnusableInput unless it is a multiple of 1/2,
  /// at most 2^50.
  double update_from(double centred_count, NoiseSource& source, const Position& position);

 private:
  AdaptiveOptions options_;
  double expected_batch_;
  Calibration calibration_;
  double count_noise_;
  double gradient_multiplier_;
  double norm_;
};

}  // namespace dpflash::noise
