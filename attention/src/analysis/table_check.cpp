#include "analysis/table_check.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/scan.hpp"
#include "analysis/sweep.hpp"

namespace dpflash::attention::analysis {
namespace {

/// Sum over the query heads of a group of (C_v / sigma)^2 of one row, over unit^2; relative error below 2^-47.
double group_precision(const SensitivityQuestion& question, const HeadGroup& group, const TableView& table,
                       std::int64_t row, double unit) {
  long double sum = 0;
  for (const std::int32_t kv : group.kv_heads) {
    const long double clip = clip_of(question.clips.v, kv);
    const auto [first, count] = query_heads(question.shape, kv);
    for (std::int32_t h = first; h < first + count; ++h) {
      const long double ratio = clip / static_cast<long double>(table.at(h, row)) / unit;
      sum += ratio * ratio;
    }
  }
  return static_cast<double>(sum) * (1 + 0x1p-47);
}

/// The largest C_v / sigma times the root of the number of heads and the largest row factor: terms over its square
/// are at most 1.
double largest_term(const Sensitivity& analysis, const std::vector<HeadGroup>& groups, const TableView& table) {
  const SensitivityQuestion& question = analysis.question();
  double most = std::numeric_limits<double>::min();
  for (std::int32_t kv = 0; kv < question.shape.kv_heads; ++kv) {
    const double clip = clip_of(question.clips.v, kv);
    const auto [first, count] = query_heads(question.shape, kv);
    for (std::int32_t h = first; h < first + count; ++h)
      for (std::int64_t row = 0; row < std::max<std::int64_t>(table.rows, 1); ++row)
        most = std::max(most, clip / table.at(h, row));
  }
  const double factor = 2 * (1 + question.precision.u_p) * 1.001 + groups[0].factor.slack();
  return most * std::sqrt(static_cast<double>(question.shape.heads)) * factor;
}

}  // namespace

double verified_mu(const Sensitivity& analysis, const TableView& table) {
  const SensitivityQuestion& question = analysis.question();
  std::vector<double> bounds;
  for (std::int32_t kv = 0; kv < question.shape.kv_heads; ++kv) bounds.push_back(analysis.score_bound(kv));
  const std::vector<HeadGroup> groups = group_heads(question, bounds);
  const double unit = largest_term(analysis, groups, table);
  if (!std::isfinite(unit)) return unit;
  // One number a head: the sum over heads is the same for every row.
  std::vector<double> of_any_row;
  for (std::size_t g = 0; g < groups.size() && table.rows == 0; ++g)
    of_any_row.push_back(group_precision(question, groups[g], table, 0, unit));
  double most = 0;
  for (const auto& [lengths, first, copies] : distinct_lengths(question.shape)) {
    const auto term = [&](std::int64_t row, const Moved& moved, Exact* out) {
      double sum = 0;
      for (std::size_t g = 0; g < groups.size(); ++g) {
        const double a = groups[g].factor(moved) + groups[g].factor.slack();
        sum += a * a * (table.rows == 0 ? of_any_row[g] : group_precision(question, groups[g], table, row, unit));
      }
      out[0] = exact_up(sum * (1 + (static_cast<double>(groups.size()) + 6) * 0x1p-52));
    };
    sweep(Places(question, lengths), 1, term,
          [&](std::int64_t, const Exact* sums, std::int64_t) { most = std::max(most, to_double_up(sums[0])); });
  }
  return times_root_up(unit, most);
}

double total_variance(const SensitivityQuestion& question, const TableView& table) {
  const auto of_heads = [&](std::int64_t row) {
    double heads = 0;
    for (std::int32_t h = 0; h < question.shape.heads; ++h) heads += std::pow(table.at(h, row), 2);
    return heads;
  };
  const double of_any_row = table.rows == 0 ? of_heads(0) : 0;
  double sum = 0;
  for (const auto& [lengths, first, copies] : distinct_lengths(question.shape))
    for (std::int64_t row = 0; row < lengths.queries; ++row) {
      if (visible(question.shape, lengths, row).count() == 0) continue;
      sum += static_cast<double>(copies) * (table.rows == 0 ? of_any_row : of_heads(row));
    }
  return sum;
}

}  // namespace dpflash::attention::analysis
