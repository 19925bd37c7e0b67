// Rows and records as a convex problem: the least total variance at a given mu.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/scan.hpp"
#include "analysis/sweep.hpp"

namespace dpflash::attention::analysis {

/// Row i of group g moves by f_gi C_v, or o_gi C_v when the record has its query too. With sigma_ih^2 = C_v,h s_gi the
/// total variance is the sum over i, g of copies_i V_g s_gi, and a record's mu^2 the sum over the rows it moves and g
/// of V_g f_gi^2 / s_gi, V_g being the sum of C_v over the group's query heads: the best sigma of heads within a group
/// have this form, so s is all there is to find.
struct RowProblem {
  /// What one sequence length asks.
  struct Sequence {
    std::int64_t rows = 0;
    std::int64_t places = 0;
    std::vector<std::int64_t> begin, end;  ///< places that move a row
    std::vector<std::int64_t> own;         ///< place of a row's own record, or -1
    std::vector<double> moved;             ///< f_gi at g rows + i; 0 for a row that does not move
    std::vector<double> moved_own;         ///< o_gi
  };
  std::vector<Sequence> sequences;  ///< distinct ones
  std::vector<double> copies;       ///< sequences in which row i moves, one a row of the longest
  std::vector<double> clips;        ///< V_g
};

/// Sequences in the order of distinct_lengths.
RowProblem row_problem(const SensitivityQuestion& question, const std::vector<HeadGroup>& groups);

/// Where the search starts.
struct Start {
  std::vector<double> per_group;  ///< s_g of the best answer that has one number a group
  std::size_t sequence;           ///< index of problem.sequences, with `place` the worst record
  std::int64_t place;
};

/// s_gi at g rows + i, rows those of the longest sequence, scaled so that the largest mu^2 is 1 up to rounding, and
/// within 1e-4 of the least variance unless the search stopped early. Rows that no sequence moves hold any number.
std::vector<double> least_variance(const RowProblem& problem, const Start& start);

}  // namespace dpflash::attention::analysis
