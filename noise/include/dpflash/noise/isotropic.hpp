// The Gaussian mechanism: the same noise on every coordinate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <span>
#include <vector>

namespace dpflash::noise {

/// g + scale z, z standard normal in R^d.
/// Neighbouring differences: |Delta|_2 <= clip. Covariance: scale^2 I. mu = clip / scale.
/// Proof: docs/math/structured-noise.md, section 2 (Dwork et al. 2006; Balle, Wang 2018).
class Isotropic {
 public:
  /// `dimension` in [1, 2^56], `clip` finite and positive, a Gaussian calibration. Throws UnusableInput, also when the
  /// scale is not a normal float.
  Isotropic(std::size_t dimension, double clip, const Calibration& calibration);

  /// Number of coordinates, and of draws a release takes.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t draws() const noexcept { return size_; }
  [[nodiscard]] double clip_norm() const noexcept { return clip_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }
  /// Standard deviation of the noise: noise_multiplier times clip, rounded up; more from AdaptiveClipping.
  [[nodiscard]] float scale() const noexcept { return scale_; }

  /// Scales one record's contribution down to norm `clip` at most (rounded towards zero, so that the floats hold the
  /// bound exactly); one with a NaN or an infinity becomes zero. O(d). Throws UnusableInput for another size.
  void clip(std::span<float> contribution) const;
  /// sup |Delta| / scale, rounded up; at most 1/noise_multiplier.
  [[nodiscard]] double mu() const;
  /// Variance of one element's noise.
  [[nodiscard]] double variance() const;
  /// E |noise|^2 = d scale^2.
  [[nodiscard]] double expected_squared_error() const;

  /// Adds the noise to the sum of all contributions; element i takes draw position.first + i. Multithreaded. Throws
  /// UnusableInput for another size, ReusedNoise.
  void privatise(std::span<float> sum, NoiseSource& source, const Position& position) const;
  /// The same for elements [begin, begin + part.size()) of the sum: every element must be in exactly one shard.
  void privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source, const Position& position) const;

 private:
  friend class AdaptiveClipping;
  /// With a multiplier of its own, at least the calibration's.
  Isotropic(std::size_t dimension, double clip, double noise_multiplier, const Calibration& calibration);

  std::size_t size_;
  double clip_;
  Calibration calibration_;
  float scale_;
};

}  // namespace dpflash::noise
