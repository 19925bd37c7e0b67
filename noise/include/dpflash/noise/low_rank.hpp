// Noise in a public subspace: the sum is projected, noised there, lifted, and its other directions are dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <dpflash/noise/subspace.hpp>
#include <span>
#include <vector>

namespace dpflash::noise {

/// Y = U^T G + scale Z, released as U Y: G is rows x columns (a vector: one column), U rows x rank and *public* (known
/// before the data, or computed from declared public data), Z rank x columns standard normal.
/// Neighbouring differences: |Delta|_F <= clip, Delta any rows x columns matrix. Covariance of U Y, column by column:
/// scale^2 U U^T. mu = |U|_2 clip / scale, with a certified bound of |U|_2, never with 1 taken for granted.
/// What the projection drops is a bias that depends on the data; no noise is needed there as nothing is released there.
/// Adding scale U Z to G *without* dropping is not private at any epsilon. Proof: docs/math/structured-noise.md,
/// section 3 (compare Zhou, Wu, Banerjee 2021; Yu et al. 2021).
class LowRank {
 public:
  /// Largest certified bound of |U^T U - I|_F that is accepted.
  static constexpr double kTolerance = 1e-3;

  /// `columns` >= 1; rows * columns and rank * columns at most 2^40; `clip` finite and positive; a Gaussian
  /// calibration. Throws UnusableInput for these and for a basis farther than kTolerance from orthonormal.
  /// Cost: rows rank^2.
  LowRank(Basis basis, std::size_t columns, double clip, const Calibration& calibration);

  [[nodiscard]] std::size_t rows() const noexcept { return basis_.rows; }
  [[nodiscard]] std::size_t columns() const noexcept { return columns_; }
  [[nodiscard]] std::size_t rank() const noexcept { return basis_.rank; }
  /// rows * columns.
  [[nodiscard]] std::size_t size() const noexcept { return basis_.rows * columns_; }
  /// rank * columns.
  [[nodiscard]] std::uint64_t draws() const noexcept { return basis_.rank * columns_; }
  [[nodiscard]] const Basis& basis() const noexcept { return basis_; }
  [[nodiscard]] double clip_norm() const noexcept { return clip_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }
  /// Certified upper bound of the basis's spectral norm.
  [[nodiscard]] double basis_norm() const noexcept { return basis_norm_; }
  /// Standard deviation of one element's noise in the subspace: noise_multiplier basis_norm clip, rounded up.
  [[nodiscard]] float scale() const noexcept { return scale_; }

  /// Scales one record's contribution (rows x columns, row-major) down to Frobenius norm `clip` at most, rounded
  /// towards zero; a non-finite one becomes zero. Throws UnusableInput for another size.
  void clip(std::span<float> contribution) const;
  /// basis_norm clip / scale, rounded up; at most 1/noise_multiplier.
  [[nodiscard]] double mu() const;
  /// Covariance of one column of the lifted noise, rows x rows, row-major; for rows up to 4096.
  [[nodiscard]] std::vector<double> covariance() const;
  /// E |U scale Z|_F^2 = columns scale^2 |U|_F^2; what is dropped comes on top and depends on the data.
  [[nodiscard]] double expected_squared_error() const;

  /// Replaces the sum (row-major) by U (U^T sum + scale Z). Y's element (a, j) takes draw position.first + a columns +
  /// j. Multithreaded over columns. Throws UnusableInput for another size, ReusedNoise.
  void privatise(std::span<float> sum, NoiseSource& source, const Position& position) const;

  /// The three steps of privatise apart, for a sum that is spread or never leaves the subspace: `subspace` is
  /// rank x columns, row-major. Sums are accumulated in double and rounded once.
  void project(std::span<const float> sum, std::span<float> subspace) const;
  void privatise_projected(std::span<float> subspace, NoiseSource& source, const Position& position) const;
  void lift(std::span<const float> subspace, std::span<float> out) const;

 private:
  Basis basis_;
  std::size_t columns_;
  double clip_;
  Calibration calibration_;
  double basis_norm_;
  float scale_;
};

}  // namespace dpflash::noise
