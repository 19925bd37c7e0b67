#include "analysis/scan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "analysis/sweep.hpp"
#include "shape/shape.hpp"

namespace dpflash::attention::analysis {

std::vector<HeadGroup> group_heads(const SensitivityQuestion& question, const std::vector<double>& bounds) {
  std::vector<HeadGroup> groups;
  for (std::int32_t kv = 0; kv < question.shape.kv_heads; ++kv) {
    const double bound = bounds[static_cast<std::size_t>(kv)];
    const auto found =
        std::find_if(groups.begin(), groups.end(), [&](const HeadGroup& g) { return g.score_bound == bound; });
    if (found != groups.end()) {
      found->kv_heads.push_back(kv);
    } else {
      groups.push_back({bound, RowFactor(question.unit, bound, question.precision), {kv}});
    }
  }
  return groups;
}

std::vector<CountedLengths> distinct_lengths(const Shape& shape) {
  std::vector<CountedLengths> out;
  std::map<std::pair<std::int64_t, std::int64_t>, std::size_t> seen;
  for (std::size_t s = 0; s < shape.lengths.size(); ++s) {
    const SequenceLengths& lengths = shape.lengths[s];
    const auto [found, is_new] = seen.insert({{lengths.queries, lengths.keys}, out.size()});
    if (is_new) out.push_back({lengths, static_cast<std::int64_t>(s), 0});
    ++out[found->second].count;
  }
  return out;
}

QueryHeads query_heads(const Shape& shape, std::int32_t kv_head) {
  const std::int32_t count = shape.heads / shape.kv_heads;
  return {kv_head * count, count};
}

GroupWeights group_weights(const SensitivityQuestion& question, const std::vector<HeadGroup>& groups,
                           std::span<const double> sigma) {
  // In long double, where a tiny clip over a large sigma is not yet 0.
  const auto ratio = [&](std::int32_t kv, std::int32_t head) {
    const long double clip = clip_of(question.clips.v, kv);
    return sigma.empty() ? clip : clip / static_cast<long double>(sigma[static_cast<std::size_t>(head)]);
  };
  GroupWeights out{std::numeric_limits<double>::min(), {}};
  const auto for_heads = [&](const HeadGroup& group, const auto& use) {
    for (const std::int32_t kv : group.kv_heads) {
      const auto [first, count] = query_heads(question.shape, kv);
      for (std::int32_t h = first; h < first + count; ++h) use(ratio(kv, h));
    }
  };
  for (const HeadGroup& group : groups)
    for_heads(group, [&](long double r) { out.unit = std::max(out.unit, static_cast<double>(r)); });
  for (const HeadGroup& group : groups) {
    // 2^16 squares, each with a few roundings, err by less than 2^-48 of their sum in long double.
    long double sum = 0;
    for_heads(group, [&](long double r) {
      const long double relative = std::isinf(out.unit) ? 1 : r / out.unit;
      sum += relative * relative;
    });
    out.weights.push_back(static_cast<double>(sum) * (1 + 0x1p-47));
  }
  return out;
}

double times_root_up(double unit, double square) noexcept {
  if (square == 0) return 0;
  // The last step covers results below the normal numbers.
  return std::nextafter(unit * std::sqrt(square) * (1 + 0x1p-50), std::numeric_limits<double>::infinity());
}

ScanResult scan(const SensitivityQuestion& question, const std::vector<HeadGroup>& groups,
                const std::vector<double>& weights) {
  ScanResult result;
  result.group_square.assign(groups.size(), 0);
  for (const auto& [lengths, first, count] : distinct_lengths(question.shape)) {
    const auto term = [&](std::int64_t, const Moved& moved, Exact* out) {
      for (std::size_t g = 0; g < groups.size(); ++g) {
        const double f = groups[g].factor(moved);
        out[g] = exact_up(f * f * (1 + 0x1p-51));
      }
    };
    const auto visit = [&, sequence = first](std::int64_t place, const Exact* sums, std::int64_t rows) {
      double total = 0;
      for (std::size_t g = 0; g < groups.size(); ++g) {
        double square = to_double_up(sums[g]);
        if (const double slack = groups[g].factor.slack(); slack > 0) {
          const double root = std::sqrt(square) + slack * std::sqrt(static_cast<double>(rows));
          square = root * root * (1 + 0x1p-49);
        }
        result.group_square[g] = std::max(result.group_square[g], square);
        total += weights[g] * square;
      }
      total *= 1 + (static_cast<double>(groups.size()) + 2) * 0x1p-52;
      if (total > result.total_square) {
        const bool whole = question.unit == Unit::sequence;
        result.worst = {sequence, whole ? -1 : place};
        result.rows_moved = rows;
        result.total_square = total;
      }
    };
    sweep(Places(question, lengths), groups.size(), term, visit);
  }
  return result;
}

}  // namespace dpflash::attention::analysis
