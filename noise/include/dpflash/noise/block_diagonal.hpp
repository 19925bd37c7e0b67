// Blocks (layers, heads, tensors) with a clipping norm and a scale each, accounted as one release.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <span>
#include <vector>

namespace dpflash::noise {

/// `size` consecutive coordinates, clipped to L2 norm `clip` on their own.
struct Block {
  std::size_t size = 0;
  double clip = 0;
};

/// How the privacy of one release is spread over the blocks. All three have the same mu.
enum class Allocation {
  least_error,  ///< least E |noise|^2: scale_b^2 = (C_b / sqrt n_b) (sum_c C_c sqrt n_c) / mu^2
  same_scale,   ///< one scale for all: scale_b^2 = (sum_c C_c^2) / mu^2
  same_share    ///< each block costs the same: scale_b^2 = B C_b^2 / mu^2 for B blocks
};

/// Block b: g_b + scale_b z_b.
/// Neighbouring differences: |Delta_b|_2 <= C_b for every b at once. Covariance: scale_b^2 on block b's diagonal.
/// mu^2 = sum_b (C_b / scale_b)^2. Proof, and that least_error is least: docs/math/structured-noise.md, section 5.
class BlockDiagonal {
 public:
  /// One block of the table that a kernel walks: elements [begin, begin + size).
  struct Entry {
    std::uint64_t begin;
    std::uint64_t size;
    double clip;
    float scale;
  };

  /// At least one block; sizes >= 1, clips finite and positive (a block without a clip cannot be released); a Gaussian
  /// calibration. Throws UnusableInput naming blocks[i].size or blocks[i].clip.
  BlockDiagonal(std::span<const Block> blocks, Allocation allocation, const Calibration& calibration);

  /// Sum of the blocks' sizes.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t draws() const noexcept { return size_; }
  [[nodiscard]] std::span<const Entry> table() const noexcept { return table_; }
  [[nodiscard]] Allocation allocation() const noexcept { return allocation_; }
  [[nodiscard]] const Calibration& calibration() const noexcept { return calibration_; }

  /// Scales each block of one record's contribution down to its own clip, rounded towards zero; a non-finite block
  /// becomes zero. Throws UnusableInput for another size.
  void clip(std::span<float> contribution) const;
  /// sqrt(sum_b (C_b / scale_b)^2), rounded up; at most 1/noise_multiplier.
  [[nodiscard]] double mu() const noexcept { return mu_; }
  /// Variance of element i's noise.
  [[nodiscard]] double variance(std::size_t i) const;
  /// E |noise|^2 = sum_b n_b scale_b^2.
  [[nodiscard]] double expected_squared_error() const;

  /// Adds the noise; element i takes draw position.first + i. Multithreaded. Throws UnusableInput for another size,
  /// ReusedNoise.
  void privatise(std::span<float> sum, NoiseSource& source, const Position& position) const;
  /// The same for elements [begin, begin + part.size()).
  void privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source, const Position& position) const;

 private:
  [[nodiscard]] std::size_t block_of(std::uint64_t element) const;
  std::vector<Entry> table_;
  Allocation allocation_;
  std::size_t size_ = 0;
  Calibration calibration_;
  double mu_ = 0;
};

}  // namespace dpflash::noise
