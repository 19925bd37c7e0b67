// Noise with a public shape: a weight for every coordinate (attention masks, windows, positions).
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <span>
#include <vector>

namespace dpflash::noise {

/// g + scale W z, W = diag(w), w public and positive.
/// Neighbouring differences: |W^-1 Delta|_2 <= clip. Covariance: diag(s_i^2), s_i = noise_multiplier clip w_i rounded
/// up. mu = clip max_i w_i / s_i. A weight of 0 would release its entry exactly and is refused: use Sparse.
/// Proof: docs/math/structured-noise.md, section 6.
class Weighted {
 public:
  /// At least one weight, all normal positive floats; `clip` finite and positive, in units of the weights; a Gaussian
  /// calibration. Throws UnusableInput naming weights[i], also when a scale is not a normal float.
  Weighted(std::span<const float> weights, double clip, const Calibration& calibration);

  [[nodiscard]] std::size_t size() const noexcept { return weights_.size(); }
  [[nodiscard]] std::uint64_t draws() const noexcept { return weights_.size(); }
  [[nodiscard]] std::span<const float> weights() const noexcept { return weights_; }
  /// s_i, what each draw is multiplied by.
  [[nodiscard]] std::span<const float> weights_scaled() const noexcept { return scaled_; }
  [[nodiscard]] double clip_norm() const noexcept { return clip_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }

  /// Scales one record's contribution down to |W^-1 x|_2 <= clip, rounded towards zero; a non-finite one becomes zero.
  /// Throws UnusableInput for another size.
  void clip(std::span<float> contribution) const;
  /// clip max_i w_i / s_i, rounded up; at most 1/noise_multiplier.
  [[nodiscard]] double mu() const noexcept { return mu_; }
  /// Variance of element i's noise, s_i^2.
  [[nodiscard]] double variance(std::size_t i) const;
  /// E |noise|^2 = sum_i s_i^2.
  [[nodiscard]] double expected_squared_error() const;

  /// Adds the noise; element i takes draw position.first + i. Multithreaded. Throws UnusableInput for another size,
  /// ReusedNoise.
  void privatise(std::span<float> sum, NoiseSource& source, const Position& position) const;
  /// The same for elements [begin, begin + part.size()).
  void privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source, const Position& position) const;

 private:
  std::vector<float> weights_;
  std::vector<float> scaled_;
  double clip_;
  Calibration calibration_;
  double mu_ = 0;
};

/// Weights from a public attention mask (bytes 0 or 1): `kept` where the mask is 1, `masked` where it is 0. Both
/// positive normal floats. Throws UnusableInput.
std::vector<float> attention_mask_weights(std::span<const std::uint8_t> mask, float kept, float masked);

/// Weights of a row-major rows x columns matrix with a sliding window: `inside` where |i - j| <= half_width, else
/// `outside`. Throws UnusableInput.
std::vector<float> window_weights(std::size_t rows, std::size_t columns, std::size_t half_width, float inside,
                                  float outside);

/// Weights (1 + i)^(-exponent) for position i of `length`, `width` elements each: exponent 1/2 is the shape of causal
/// attention, whose row i averages over i + 1 keys. exponent in [-4, 4]. Throws UnusableInput.
std::vector<float> position_weights(std::size_t length, std::size_t width, double exponent);

}  // namespace dpflash::noise
