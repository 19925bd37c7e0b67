// Noise of a matrix with a public covariance between rows and between columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <span>
#include <vector>

namespace dpflash::noise {

/// G + scale A Z B^T: Z rows x columns standard normal, A A^T = row covariance, B B^T = column covariance, both public.
/// Neighbouring differences: |A^-1 Delta B^-T|_F <= clip, A and B being the floating-point factors really used.
/// Covariance of elements (i, j), (k, l): scale^2 (A A^T)_ik (B B^T)_jl. mu = clip / scale.
/// Proof: docs/math/structured-noise.md, section 7 (compare Chanyaswad, Dytso, Poor, Mittal 2018).
class MatrixVariate {
 public:
  /// Largest certified condition number |A|_F |A^-1|_F of either factor.
  static constexpr double kMostCondition = 1e6;

  /// Symmetric positive definite matrices, row-major: rows x rows and columns x columns, both up to 4096; `clip` finite
  /// and positive; a Gaussian calibration. Throws UnusableInput for these, for asymmetry above 1e-12 of the diagonal,
  /// for a factor whose certified condition exceeds kMostCondition, and where |A|_F |B|_F or |A^-1|_F |B^-1|_F exceeds
  /// 2^96 (A Z B^T would vanish or overflow as floats: put the size into `clip`). Directions that get less than 2^-24
  /// of the strongest noise drown in the rounding of floats (mechanisms.hpp). Cost: rows^3 + columns^3.
  MatrixVariate(std::span<const double> row_covariance, std::size_t rows, std::span<const double> column_covariance,
                std::size_t columns, double clip, const Calibration& calibration);

  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t columns() const noexcept { return columns_; }
  [[nodiscard]] std::size_t size() const noexcept { return rows_ * columns_; }
  [[nodiscard]] std::uint64_t draws() const noexcept { return rows_ * columns_; }
  /// Lower triangular factors A and B, row-major.
  [[nodiscard]] std::span<const double> row_factor() const noexcept { return row_factor_; }
  [[nodiscard]] std::span<const double> column_factor() const noexcept { return column_factor_; }
  [[nodiscard]] double clip_norm() const noexcept { return clip_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }
  /// noise_multiplier times clip, rounded up.
  [[nodiscard]] float scale() const noexcept { return scale_; }

  /// Certified upper bound of |A^-1 D B^-T|_F, for finite D (rows x columns, row-major); the error of the triangular
  /// solves is bounded afterwards from their residual. Throws UnusableInput for another size.
  [[nodiscard]] double whitened_norm(std::span<const float> contribution) const;
  /// Scales one record's contribution down to whitened norm `clip` at most, its rounding to floats charged; a
  /// non-finite one becomes zero. Cost: 2 rows columns (rows + columns). Throws UnusableInput for another size.
  void clip(std::span<float> contribution) const;
  /// clip / scale, rounded up; at most 1/noise_multiplier.
  [[nodiscard]] double mu() const;
  /// Covariance of the noise, size x size, row-major; for size up to 4096.
  [[nodiscard]] std::vector<double> covariance() const;
  /// E |noise|_F^2 = scale^2 |A|_F^2 |B|_F^2.
  [[nodiscard]] double expected_squared_error() const;

  /// Adds the noise (row-major); Z's element (i, j) takes draw position.first + i columns + j. A Z B^T is computed in
  /// double and rounded to float once, g = fmaf(scale, that, g). Throws UnusableInput for another size, ReusedNoise.
  void privatise(std::span<float> sum, NoiseSource& source, const Position& position) const;

 private:
  std::size_t rows_;
  std::size_t columns_;
  std::vector<double> row_factor_;
  std::vector<double> column_factor_;
  double clip_;
  Calibration calibration_;
  double inverse_norm_ = 0;  // certified |A^-1|_F |B^-1|_F
  double factor_norm_ = 0;   // |A|_F |B|_F, rounded up
  float scale_;
};

}  // namespace dpflash::noise
