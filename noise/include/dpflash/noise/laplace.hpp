// The Laplace mechanism on vectors of bounded L1 norm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <span>

namespace dpflash::noise {

/// g + scale z, z independent standard Laplace (density exp(-|z|)/2) in R^d.
/// Neighbouring differences: |Delta|_1 <= clip. Covariance: 2 scale^2 I. ratio() = clip / scale is the pure epsilon of
/// one release; the scalar pair at that ratio dominates the vector. Proof: docs/math/structured-noise.md, section 9.
class Laplace {
 public:
  /// `dimension` in [1, 2^56], `clip` finite and positive, a Laplace calibration. Throws UnusableInput, also when the
  /// scale is not a normal float.
  Laplace(std::size_t dimension, double clip, const Calibration& calibration);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t draws() const noexcept { return size_; }
  /// Bound of one contribution's L1 norm.
  [[nodiscard]] double clip_norm() const noexcept { return clip_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }
  /// noise_multiplier times clip, rounded up.
  [[nodiscard]] float scale() const noexcept { return scale_; }

  /// Scales one record's contribution down to L1 norm `clip` at most, rounded towards zero; a non-finite one becomes
  /// zero. Throws UnusableInput for another size.
  void clip(std::span<float> contribution) const;
  /// sup |Delta|_1 / scale, rounded up; at most 1/noise_multiplier.
  [[nodiscard]] double ratio() const;
  /// Variance of one element's noise, 2 scale^2.
  [[nodiscard]] double variance() const;
  /// E |noise|_2^2 = 2 d scale^2.
  [[nodiscard]] double expected_squared_error() const;

  /// As Isotropic::privatise, with Laplace draws.
  void privatise(std::span<float> sum, NoiseSource& source, const Position& position) const;
  void privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source, const Position& position) const;

 private:
  std::size_t size_;
  double clip_;
  Calibration calibration_;
  float scale_;
};

}  // namespace dpflash::noise
