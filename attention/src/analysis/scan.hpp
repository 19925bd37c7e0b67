// The worst record of a call, by weighing what it does to each kv head.
#pragma once

#include <cstdint>
#include <dpflash/attention/sensitivity.hpp>
#include <span>
#include <vector>

#include "analysis/row_factor.hpp"

namespace dpflash::attention::analysis {

/// Query heads whose kv heads have one score bound: their rows differ by C_v alone.
struct HeadGroup {
  double score_bound;
  RowFactor factor;
  std::vector<std::int32_t> kv_heads;
};

/// In the order of the first kv head; bounds as `bounds`, one a kv head.
std::vector<HeadGroup> group_heads(const SensitivityQuestion& question, const std::vector<double>& bounds);

/// The lengths of a question, each once, in the order of their first sequence.
struct CountedLengths {
  SequenceLengths lengths;
  std::int64_t first;  ///< sequence that has them
  std::int64_t count;  ///< how many have
};
std::vector<CountedLengths> distinct_lengths(const Shape& shape);

/// Query heads [first, first + count) of a kv head.
struct QueryHeads {
  std::int32_t first;
  std::int32_t count;
};
QueryHeads query_heads(const Shape& shape, std::int32_t kv_head);

/// What a scan finds. Squares include eta and are rounded up.
struct ScanResult {
  RecordPlace worst{0, -1};
  std::int64_t rows_moved = 0;
  double total_square = 0;           ///< largest over all records of the sum of weight times square
  std::vector<double> group_square;  ///< each group's own largest, over C_v^2
};

/// `weights`: one a group, finite, not negative.
ScanResult scan(const SensitivityQuestion& question, const std::vector<HeadGroup>& groups,
                const std::vector<double>& weights);

/// Weights relative to the square of one number, so that squares of tiny or huge clips neither vanish nor overflow.
struct GroupWeights {
  double unit;                  ///< largest C_v / sigma, at least the smallest normal double; may be +inf
  std::vector<double> weights;  ///< sum over the query heads of a group of (C_v / sigma)^2 / unit^2, rounded up
};

/// `sigma`: one a query head; 1 for all where empty.
GroupWeights group_weights(const SensitivityQuestion& question, const std::vector<HeadGroup>& groups,
                           std::span<const double> sigma);

/// unit times the root of an upper bound of a square, rounded up.
double times_root_up(double unit, double square) noexcept;

}  // namespace dpflash::attention::analysis
