// Per-example gradients held in many tensors: norms, clip factors, clipped sums. The computed sums have the sensitivity
// that is promised, rounding included. Proofs: docs/math/clipping.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dpflash::noise {

/// One parameter tensor's gradients: row b, at data + b * stride, is example b's gradient of its `width` parameters.
struct TensorRows {
  const float* data = nullptr;
  std::uint64_t width = 0;
  std::uint64_t stride = 0;  ///< elements from row to row, at least width; 0 means width
  std::uint64_t offset = 0;  ///< place of the first parameter in the flat parameter vector: index of its noise draw
  std::uint32_t layer = 0;   ///< which clipping norm it counts towards
};

/// The gradients of `batch` examples. Row b of every tensor must depend on example b and on public or already released
/// values alone: no batch statistics. Rows may hold anything, NaN too. A view: the memory stays the caller's.
struct PerExampleGradients {
  std::span<const TensorRows> tensors;
  std::uint64_t batch = 0;
};

/// Sets the offsets so that the tensors lie one after another in the flat parameter vector; returns its length.
std::uint64_t place_in_order(std::span<TensorRows> tensors);

/// Most tensors, and parts of a norm that are computed apart and added up, that the bound on a norm's error covers.
inline constexpr std::uint64_t kMostTensors = std::uint64_t{1} << 16;
/// Most examples, and partial sums that are added up, that the bound on a sum's error covers.
inline constexpr std::uint64_t kLargestBatch = std::uint64_t{1} << 20;

/// What one example's contribution is scaled by, from its norm. The factor of an example whose norm is not finite is 0,
/// and it then contributes nothing, whatever its gradient holds.
///
/// Sensitivity, for every input of at most kLargestBatch examples: the sum that `add_clipped` *computes* moves by at
/// most norms()[l] in layer l, hence by at most total_norm() in all, when an example is added or removed. To pay for
/// the rounding of the sum (2^-13) and of the norm (2^-36) the factors clip to C' = C (1 - 0x1.02p-13) instead of C,
/// are computed from a norm that is rounded up, and are rounded towards zero (subnormal ones to zero); products of a
/// factor and a gradient are exact. docs/math/clipping.md, sections 1 to 3.
class Clipping {
 public:
  /// min(1, C / |g|): Abadi et al. 2016. C in [1e-30, 1e30], in the gradients' unit.
  static Clipping flat(double norm);
  /// Layer l is scaled by its own min(1, C_l / |g_l|): McMahan et al. 2018. One norm a layer, each in [1e-30, 1e30].
  static Clipping per_layer(std::vector<double> norms);
  /// The same norm C / sqrt(layers), rounded down, for every layer, so that total_norm() is at most C.
  static Clipping per_layer_equal(double norm, std::uint32_t layers);
  /// C / (|g| + gamma): automatic clipping, Bu et al. 2023. gamma > 0, C / gamma at most 1e30.
  static Clipping automatic(double norm, double gamma = 0.01);

  [[nodiscard]] std::uint32_t layers() const noexcept { return static_cast<std::uint32_t>(norms_.size()); }
  /// Sensitivity of each layer's sum.
  [[nodiscard]] const std::vector<double>& norms() const noexcept { return norms_; }
  /// Sensitivity of the whole: sqrt of the sum of the squares, rounded up; the norm itself for one layer.
  [[nodiscard]] double total_norm() const noexcept { return total_norm_; }
  /// gamma of automatic clipping, else 0.
  [[nodiscard]] double gamma() const noexcept { return gamma_; }
  /// C' of layer `layer`: what a device kernel hands to dpflash::clip::factor (gpu/src/clip/clip.hpp).
  [[nodiscard]] double reduced_norm(std::uint32_t layer) const noexcept { return reduced_[layer]; }

  /// Factors from squared norms as `squared_norms` gives them, [batch x layers] both. Device kernels give the same bits
  /// for the same squared norms. Throws UnusableInput when the sizes differ or are no multiple of layers().
  void factors(std::span<const double> squared_norms, std::span<float> out) const;

 private:
  Clipping(std::vector<double> norms, double gamma);
  std::vector<double> norms_;
  std::vector<double> reduced_;
  double total_norm_ = 0;
  double gamma_ = 0;
};

/// Squared norms [batch x layers] of each example's gradient, relative error at most 2^-37; +inf or NaN exactly when a
/// value is not finite (squares of floats neither overflow nor underflow in double).
///
/// Order of the additions, the same for any number of threads, and cheap to follow on a device: the squares of a row
/// are cut into chunks of 1024, a chunk's element i goes to lane i mod 32, each lane adds up in rising order, and lanes
/// are added in halves (l and l + 16, then l + 8, 4, 2, 1). The chunks' sums are cut into chunks and added up likewise,
/// until one number is left: the tensor's. A layer adds its tensors in the order of the list.
///
/// When tensors are shards, the shards' results may be added up, in any order. Reads the gradients once. Throws
/// UnusableInput for a null pointer, a stride below the width, a layer that is not below `layers`, or too many tensors.
void squared_norms(const PerExampleGradients& gradients, std::uint32_t layers, std::span<double> out);

/// sums[t][j] += sum over b of factor(b, layer of t) * g[b][t][j], b = 0, 1, ... in this order, every addition rounded
/// to nearest double: acc = fma(double(factor), double(g), acc), the product being exact. Examples of factor 0 are
/// left out (0 * inf is not 0). `factors` is [batch x layers].
///
/// In double, not float: a chain of n float additions moves by up to n^2 2^-24 clipping norms when one example is added
/// (Casacuberta, Shoemate, Vadhan, Wagaman 2022), 16 norms for 16 384 examples; in double 3e-8 of one.
/// May be called for one microbatch after another; all of them together hold at most kLargestBatch examples. Reads the
/// gradients once. Throws UnusableInput as `squared_norms`, and for sizes that do not fit or a factor that is negative
/// or not finite.
void add_clipped(const PerExampleGradients& gradients, std::span<const float> factors, std::uint32_t layers,
                 std::span<const std::span<double>> sums);

}  // namespace dpflash::noise
