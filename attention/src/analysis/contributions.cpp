// What the worst record's sensitivity is made of.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>

#include "analysis/scan.hpp"
#include "analysis/sweep.hpp"
#include "dpflash/attention/sensitivity.hpp"
#include "shape/shape.hpp"

namespace dpflash::attention {
namespace {

using analysis::HeadGroup;
using analysis::Places;

/// d ln Delta / d ln C_q, by a central difference.
double score_clips_exponent(const SensitivityQuestion& question) {
  const auto with_query_clip = [&](double factor) {
    SensitivityQuestion other = question;
    for (double& c : other.clips.q) c = std::min(c * factor, std::numeric_limits<double>::max());
    return Sensitivity(std::move(other)).total();
  };
  constexpr double kStep = 1e-4;
  const double ratio = with_query_clip(1 + kStep) / with_query_clip(1 - kStep);
  return std::isfinite(ratio) ? std::log(ratio) / std::log((1 + kStep) / (1 - kStep)) : 0;
}

}  // namespace

Contributions Sensitivity::contributions() const {
  Contributions out;
  out.head_share.assign(per_head_.size(), 0);
  if (rows_moved_ == 0) return out;
  out.score_clips = score_clips_exponent(question_);

  const Places places(question_, question_.shape.lengths[static_cast<std::size_t>(worst_.sequence)]);
  const auto groups = analysis::group_heads(question_, score_bound_);
  const auto [unit, weights] = analysis::group_weights(question_, groups, {});
  std::map<int, VisibleShare> bins;
  double sum = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    double squares = 0;
    for (std::int64_t row = 0; row < places.rows(); ++row) {
      const double f = row_factor(groups[g].kv_heads[0], row);
      if (f == 0) continue;
      const double square = std::pow(f + groups[g].factor.slack(), 2);
      const std::int64_t n = places.visible_to(row);
      const int bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n)));
      VisibleShare& bin = bins.try_emplace(bits, VisibleShare{n, n, 0, 0}).first->second;
      bin.least = std::min(bin.least, n);
      bin.most = std::max(bin.most, n);
      bin.rows += g == 0 ? 1 : 0;
      bin.share += weights[g] * square;
      squares += square;
    }
    for (const std::int32_t kv : groups[g].kv_heads) {
      const auto [first, count] = analysis::query_heads(question_.shape, kv);
      const double clip = clip_of(question_.clips.v, kv) / unit;
      std::fill_n(out.head_share.begin() + first, count, clip * clip * squares);
    }
    sum += weights[g] * squares;
  }
  for (double& share : out.head_share) share /= sum;
  for (auto& [bits, bin] : bins) {
    bin.share /= sum;
    out.by_visible.push_back(bin);
  }
  return out;
}

}  // namespace dpflash::attention
