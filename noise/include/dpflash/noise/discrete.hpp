// Integer noise for integer vectors: exact samplers, no floating point between the random bits and the noise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <span>

namespace dpflash::noise {

/// A positive fraction. Parameters of integer noise are fractions, so that the samplers are exact.
struct Fraction {
  std::uint64_t numerator = 1;    ///< in [1, 2^41]
  std::uint64_t denominator = 1;  ///< in [1, 2^51]
};

/// Variance of the discrete Laplace law P(k) ~ exp(-|k| / scale): 2 e^(-1/scale) / (1 - e^(-1/scale))^2. Relative error
/// below 1e-14. `scale` finite and positive, else UnusableInput.
double discrete_laplace_variance(double scale);

/// Variance of the discrete Gaussian law P(k) ~ exp(-k^2 / (2 sigma^2)), by the theta series or its dual; never above
/// sigma^2 (Canonne, Kamath, Steinke 2020, corollary 9). Relative error below 1e-13. `sigma` finite and positive, else
/// UnusableInput.
double discrete_gaussian_variance(double sigma);

/// x + noise, noise independent discrete Gaussians of parameter sigma on the integers: P(k) ~ exp(-k^2/(2 sigma^2)).
/// Neighbouring differences: integer vectors with |Delta|_2 <= sensitivity. The draws have exactly this law, given
/// uniform bits (Canonne, Kamath, Steinke 2020, algorithms 1 to 3; proof and ranges: docs/math/discrete-noise.md).
/// sigma^2 is a fraction, at least (noise_multiplier * sensitivity)^2 and at most 1 + 2^-29 of it.
class DiscreteGaussian {
 public:
  /// `dimension` at most 2^40, `sensitivity` at least 1, noise_multiplier * sensitivity in [2^-10, 2^20], a
  /// discrete_gaussian calibration. Throws UnusableInput.
  DiscreteGaussian(std::size_t dimension, std::int64_t sensitivity, const Calibration& calibration);

  /// Number of coordinates, and of draws a release takes.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t draws() const noexcept { return size_; }
  [[nodiscard]] std::int64_t sensitivity() const noexcept { return sensitivity_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }
  [[nodiscard]] Fraction sigma_squared() const noexcept { return sigma_squared_; }
  /// Variance of one element's noise.
  [[nodiscard]] double variance() const;
  /// E |noise|^2.
  [[nodiscard]] double expected_squared_error() const { return static_cast<double>(size_) * variance(); }

  /// Adds the noise, modulo 2^64 (post-processing); element i takes draw position.first + i, below 2^40. About 1 us an
  /// element, multithreaded. Throws UnusableInput for another size or position, ReusedNoise; then nothing was changed.
  void privatise(std::span<std::int64_t> values, NoiseSource& source, const Position& position) const;
  /// The same for elements [begin, begin + part.size()): every element must be in exactly one shard.
  void privatise_shard(std::span<std::int64_t> part, std::size_t begin, NoiseSource& source,
                       const Position& position) const;

 private:
  std::size_t size_;
  std::int64_t sensitivity_;
  Calibration calibration_;
  Fraction sigma_squared_;
};

/// x + noise, noise independent discrete Laplace draws: P(k) ~ exp(-|k| / scale). Neighbouring differences: integer
/// vectors with |Delta|_1 <= sensitivity; pure epsilon sensitivity / scale a release. Exact, as DiscreteGaussian
/// (algorithm 2 there). scale is a fraction, at least noise_multiplier * sensitivity and at most 1 + 2^-29 of it.
class DiscreteLaplace {
 public:
  /// `dimension` at most 2^40, `sensitivity` at least 1, noise_multiplier * sensitivity in [2^-10, 2^20], a
  /// discrete_laplace calibration. Throws UnusableInput.
  DiscreteLaplace(std::size_t dimension, std::int64_t sensitivity, const Calibration& calibration);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t draws() const noexcept { return size_; }
  /// Bound of a neighbouring difference's L1 norm.
  [[nodiscard]] std::int64_t sensitivity() const noexcept { return sensitivity_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }
  [[nodiscard]] Fraction scale() const noexcept { return scale_; }
  [[nodiscard]] double variance() const;
  [[nodiscard]] double expected_squared_error() const { return static_cast<double>(size_) * variance(); }

  /// As DiscreteGaussian::privatise.
  void privatise(std::span<std::int64_t> values, NoiseSource& source, const Position& position) const;
  void privatise_shard(std::span<std::int64_t> part, std::size_t begin, NoiseSource& source,
                       const Position& position) const;

 private:
  std::size_t size_;
  std::int64_t sensitivity_;
  Calibration calibration_;
  Fraction scale_;
};

}  // namespace dpflash::noise
