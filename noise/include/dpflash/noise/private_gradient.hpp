// What DP-SGD releases in a step: clipped gradients added up, noised and divided by a public number, in one pass.
#pragma once

#include <cstdint>
#include <dpflash/noise/block_diagonal.hpp>
#include <dpflash/noise/clipping.hpp>
#include <dpflash/noise/isotropic.hpp>
#include <dpflash/noise/source.hpp>
#include <span>
#include <vector>

namespace dpflash::noise {

/// Releases out[t][j] = (sum over b of f_b g[b][t][j] + scale z) / denominator, where z is standard normal draw number
/// position.first + offset of t + j. Computed in double as round_to_float((sum + double(scale) z) / denominator), sums
/// as `add_clipped` defines them, so that a device gives the same bits. The noise meets the sum before anything is
/// rounded to float: what follows is post-processing, and the sensitivity is that of the computed double sum,
/// total_norm() of the clipping. One release costs what the mechanism's calibration says for one.
///
/// The denominator is what the expected batch size was *declared* to be (rate times the declared number of records), a
/// public constant: the drawn batch's size is secret, and dividing by it would let one record change every other's
/// share. A batch of 0 examples releases pure noise. Proof: docs/math/clipping.md, sections 3 and 4.
class PrivateGradient {
 public:
  /// The same noise everywhere. Throws UnusableInput when clipping.total_norm() exceeds mechanism.clip_norm(), or the
  /// denominator is not in [1e-30, 1e30].
  PrivateGradient(Clipping clipping, const Isotropic& mechanism, double denominator);
  /// Block l is layer l: as many blocks as layers, clipping.norms()[l] at most the block's clip, and (when a gradient
  /// comes) every tensor of the layer inside the block. Throws UnusableInput otherwise.
  PrivateGradient(Clipping clipping, const BlockDiagonal& mechanism, double denominator);

  [[nodiscard]] const Clipping& clipping() const noexcept { return clipping_; }
  [[nodiscard]] double denominator() const noexcept { return denominator_; }
  /// Standard deviation of the noise of layer `layer`'s sum, before the division.
  [[nodiscard]] float scale(std::uint32_t layer) const noexcept { return blocks_[layer].scale; }

  /// Throws UnusableInput, as release, for tensors of other layers or outside the mechanism's parameters.
  void check_tensors(std::span<const TensorRows> tensors) const;

  /// Norms, factors, sums, noise and division: reads the gradients twice. `factors_out`, when not empty, receives the
  /// factors [batch x layers], which are secret. `out` holds one span a tensor. Multithreaded, the same for any number
  /// of threads. Sizes are checked, then the draws are claimed, then `out` is written. Throws UnusableInput as
  /// `squared_norms`, for outputs that do not fit, and for parameters outside the mechanism's; ReusedNoise.
  void release(const PerExampleGradients& gradients, NoiseSource& source, const Position& position,
               std::span<const std::span<float>> out, std::span<float> factors_out = {}) const;

  /// The same from sums that `add_clipped` gathered over microbatches with factors of this clipping. The tensors say
  /// where the sums belong; their data are not read.
  void finish(std::span<const TensorRows> tensors, std::span<const std::span<const double>> sums, NoiseSource& source,
              const Position& position, std::span<const std::span<float>> out) const;

 private:
  struct Part {
    std::uint64_t begin;
    std::uint64_t end;
    float scale;
  };
  void check_places(std::span<const TensorRows> tensors, std::span<const std::span<float>> out) const;

  Clipping clipping_;
  double denominator_;
  std::vector<Part> blocks_;
};

}  // namespace dpflash::noise
