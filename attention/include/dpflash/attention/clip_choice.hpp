// Clip constants of least expected error, found on data that are declared public.
#pragma once

#include <dpflash/attention/allocation.hpp>
#include <dpflash/attention/shape.hpp>
#include <dpflash/noise/calibration.hpp>
#include <span>

namespace dpflash::attention {

/// Rows like those to come, of data that need no protection: nothing here hides them. Sequences one after another,
/// without gaps.
struct PublicSample {
  std::span<const double> q;  ///< [all queries, heads, head_dim]
  std::span<const double> k;  ///< [all keys, kv_heads, head_dim]
  std::span<const double> v;  ///< as k
};

/// Constants and the squared error they lead to, a mean over the elements of rows that see a key.
struct ClipChoice {
  double c_q = 0;
  double c_k = 0;
  double c_v = 0;
  double noise = 0;  ///< expected square of the noise
  double bias = 0;   ///< mean square of what clipping changes in the sample's outputs
  int evaluations = 0;
  [[nodiscard]] double error() const noexcept { return noise + bias; }
};

/// The constants, the same for all heads, with the least noise + bias for Unit::token, when the output is released with
/// the noise of NoiseTable(..., calibration, allocation). Clipping harder lowers the noise (C_v, and through the score
/// bound C_q and C_k) and raises the bias.
///
/// Search, deterministic: constants are the sample's largest norms times 2^(-i/8), i in [0, 80]. First all 27 of
/// i in {0, 16, 32}; from the best of them, steps of 8, 4, 2, 1 in each constant, and in C_q against C_k, as long as
/// one helps. It ends where no step of an eighth of an octave helps: a local minimum of the grid.
///
/// `shape`: that of the sample, and of the releases. Throws UnusableInput: sizes that do not fit, entries that are not
/// finite, rows that are all zero, and what Sensitivity, NoiseTable and reference() refuse. Cost: some 60 to 120 runs
/// of reference() and a NoiseTable for each product of C_q and C_k.
ClipChoice choose_clips(const Shape& shape, const PublicSample& sample, const noise::Calibration& calibration,
                        Allocation allocation = Allocation::optimal);

}  // namespace dpflash::attention
