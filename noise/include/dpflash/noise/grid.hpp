// The Gaussian mechanism without floating-point holes: integers on a public grid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <span>

namespace dpflash::noise {

/// How far all draws of a run together may be from ideal ones: for every event S,
/// P(draws in S) <= e^epsilon P(ideal draws in S) + delta, and the same with the two exchanged.
struct GridCharge {
  double epsilon = 0;
  double delta = 0;
};

/// (epsilon, delta) of a mechanism; publish both.
struct Guarantee {
  double epsilon = 0;
  double delta = 0;
};

/// The charge of `dimension` * `releases` grid draws of standard deviation 2^bits, rounded up. Proven for uniform words
/// (docs/math/grid-mechanism.md, section 5): the smaller of the worst case, 1.6e-9 2^(bits-16) a draw, and of a
/// Bernstein bound, about 1.28e-9 2^(bits-16) sqrt(draws). At bits = 16: 4.1e-5 for 1e9 draws, 1.3e-2 for 1e14.
/// Throws UnusableInput when a number is not in [0, 1e18], their product exceeds 1e18, or bits is not in [8, 16].
GridCharge grid_charge(double dimension, double releases, int bits = 16);

/// What (epsilon, delta), certified for ideal noise, becomes with this charge:
/// epsilon + 2 charge.epsilon, e^(charge.epsilon) delta + (1 + e^(epsilon + charge.epsilon)) charge.delta, rounded up.
/// `epsilon` may be +inf; NaN and negative numbers throw UnusableInput.
Guarantee with_charge(double epsilon, accounting::Delta delta, const GridCharge& charge);

/// (K + R) s: K the sum of the records' contributions in units of the public grid s = noise_multiplier clip / 2^bits,
/// R = round(2^bits z), z standard normal in R^d. Since K + round(N) = round(K + N), this is the rounding of a Gaussian
/// mechanism of mu = integer_clip / 2^bits on integer vectors, and the Gaussian accountant applies, sampling included;
/// what the draws lack of that law is `grid_charge`.
/// Neighbouring differences: integer vectors with |Delta|_2 <= integer_clip, checked in exact arithmetic.
/// Proof, and what is assumed: docs/math/grid-mechanism.md. Mironov 2012 for the attack.
class GridMechanism {
 public:
  /// `dimension` at most 2^40, `clip` in [1e-30, 1e30], a Gaussian calibration whose noise multiplier is in
  /// [2^(bits-40), 2^bits], `bits` in [8, 16]. Throws UnusableInput.
  GridMechanism(std::size_t dimension, double clip, const Calibration& calibration, int bits = 16);

  /// Number of coordinates, and of draws a release takes.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t draws() const noexcept { return size_; }
  [[nodiscard]] double clip_norm() const noexcept { return clip_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }
  [[nodiscard]] int bits() const noexcept { return bits_; }
  /// The grid s, public: one unit of the sums. Its rounding does not touch privacy.
  [[nodiscard]] double spacing() const noexcept { return spacing_; }
  /// floor(2^bits / noise_multiplier), exactly: bound of one record's integer norm.
  [[nodiscard]] std::int64_t integer_clip() const noexcept { return integer_clip_; }
  /// integer_clip / 2^bits, exact and at most 1 / noise_multiplier.
  [[nodiscard]] double mu() const;
  /// Variance of one element's noise, s^2 (4^bits + 1/12), in released units.
  [[nodiscard]] double variance() const;
  /// E |noise|^2 in released units; the rounding of contributions is not in it.
  [[nodiscard]] double expected_squared_error() const;

  /// One record's contribution on the grid: clipped in double, rounded to nearest integers, scaled down until the exact
  /// 128-bit sum of squares is at most integer_clip^2. With a NaN or an infinity: zero. Some passes over the data, two
  /// where the rounding stays within the bound. Throws UnusableInput when a size is not size().
  void to_grid(std::span<const float> contribution, std::span<std::int64_t> out) const;
  /// sum += to_grid(contribution), modulo 2^64 or 2^32: the remainder of a private number is post-processing, and the
  /// result is right while |K + R| stays below 2^63 or 2^31.
  void add(std::span<const float> contribution, std::span<std::int64_t> sum) const;
  void add(std::span<const float> contribution, std::span<std::int32_t> sum) const;

  /// Adds the noise to the sum of all contributions, with the same modulus; element i takes draw position.first + i.
  /// Multithreaded. Throws UnusableInput for another size, ReusedNoise; then nothing was changed.
  void privatise(std::span<std::int64_t> sum, NoiseSource& source, const Position& position) const;
  void privatise(std::span<std::int32_t> sum, NoiseSource& source, const Position& position) const;
  /// The same for elements [begin, begin + part.size()): every element must be in exactly one shard.
  void privatise_shard(std::span<std::int64_t> part, std::size_t begin, NoiseSource& source,
                       const Position& position) const;
  void privatise_shard(std::span<std::int32_t> part, std::size_t begin, NoiseSource& source,
                       const Position& position) const;

  /// out_i = sum_i s factor, rounded to float: post-processing of a privatised sum. `factor` must be public: 1 over the
  /// declared batch size, never over a drawn one. Throws UnusableInput when sizes differ or factor is not finite.
  void release(std::span<const std::int64_t> sum, std::span<float> out, double factor = 1) const;
  void release(std::span<const std::int32_t> sum, std::span<float> out, double factor = 1) const;

  /// The charge of `releases` releases of this mechanism.
  [[nodiscard]] GridCharge charge(double releases) const;
  /// The calibration's certificate with the charge of as many releases as its event counts: what to publish when all
  /// of them are this mechanism's and no other event of the plan uses a grid. Otherwise grid_charge of all draws.
  [[nodiscard]] Guarantee guarantee() const;

 private:
  std::size_t size_;
  double clip_;
  Calibration calibration_;
  int bits_;
  double spacing_ = 0;
  std::int64_t integer_clip_ = 0;
};

}  // namespace dpflash::noise
