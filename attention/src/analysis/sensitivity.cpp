#include "dpflash/attention/sensitivity.hpp"

#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <limits>

#include "analysis/scan.hpp"
#include "analysis/sweep.hpp"
#include "analysis/words.hpp"
#include "shape/shape.hpp"

namespace dpflash::attention {

using accounting::UnusableInput;
using analysis::HeadGroup;
using analysis::Moved;
using analysis::Places;
using analysis::written;

namespace {

constexpr Unit kUnits[] = {Unit::token, Unit::zero_out, Unit::self_token, Unit::sequence, Unit::token_add_remove};

void check_range(const char* field, double value, double most, const char* allowed) {
  if (!(value >= 0 && value <= most)) throw UnusableInput(field, written(value), allowed);
}

/// Blocks under a left window cost rows times overlap: some seconds at most.
void check_block_work(const SensitivityQuestion& question) {
  constexpr std::int64_t kMost = std::int64_t{1} << 29;
  std::int64_t work = 0;
  for (const auto& [lengths, first, copies] : analysis::distinct_lengths(question.shape)) {
    const Places places(question, lengths);
    if (places.block() <= 1 || places.first_is_worst()) continue;
    for (std::int64_t row = 0; row < places.rows() && work <= kMost; ++row) work += 2 * places.most_moved(row).changed;
  }
  if (work > kMost)
    throw UnusableInput("block_m", std::to_string(question.block),
                        "under a left window, at most 2^29 (row, overlap) pairs: a shorter block, window or sequence");
}

void check(const SensitivityQuestion& question) {
  attention::check(question.shape);
  attention::check(question.clips, question.shape);
  if (question.block < 1 || question.block > std::int64_t{1} << 28)
    throw UnusableInput("block_m", std::to_string(question.block), "an integer in [1, 2^28]");
  if (question.block > 1 && question.unit != Unit::token)
    throw UnusableInput("block_m", std::to_string(question.block), "1, or the unit token: others have no blocks");
  check_range("finite_precision.u_P", question.precision.u_p, 0.25, "a number in [0, 0.25]");
  check_range("finite_precision.eps_s", question.precision.eps_s, 1000, "a number in [0, 1000]");
  check_range("finite_precision.eta_over_Cv", question.precision.eta_over_cv, 1000, "a number in [0, 1000]");
  check_range("finite_precision.own_spread", question.precision.own_spread, 1, "a number in [0, 1]");
  for (std::size_t s = 0; s < question.shape.lengths.size() && question.unit == Unit::self_token; ++s) {
    const SequenceLengths& lengths = question.shape.lengths[s];
    if (lengths.queries > lengths.keys)
      throw UnusableInput("lengths[" + std::to_string(s) + "]",
                          std::to_string(lengths.queries) + " queries of " + std::to_string(lengths.keys) + " keys",
                          "with the unit self-token, at least as many keys as queries");
  }
}

/// Refuses what would take minutes: rows and keys of distinct sequences, for each distinct score bound.
void check_scan_work(const SensitivityQuestion& question, std::size_t groups) {
  constexpr double kMost = 0x1p30;
  double work = 0;
  for (const auto& [lengths, first, count] : analysis::distinct_lengths(question.shape))
    work += static_cast<double>(lengths.queries + lengths.keys) * static_cast<double>(groups);
  if (work > kMost)
    throw UnusableInput("lengths", written(work) + " rows and keys, times distinct score bounds,", "at most 2^30");
}

std::vector<double> bounds_of(const SensitivityQuestion& question) {
  std::vector<double> out;
  for (std::int32_t kv = 0; kv < question.shape.kv_heads; ++kv)
    out.push_back(analysis::score_bound_up(question.shape, question.clips, kv));
  return out;
}

}  // namespace

std::string_view name_of(Unit unit) {
  switch (unit) {
    case Unit::token:
      return "token";
    case Unit::zero_out:
      return "zero-out";
    case Unit::self_token:
      return "self-token";
    case Unit::sequence:
      return "sequence";
    case Unit::token_add_remove:
      break;
  }
  return "token-add-remove";
}

Unit parse_unit(std::string_view name, const std::string& field) {
  std::string names;
  for (const Unit unit : kUnits) {
    if (name == name_of(unit)) return unit;
    names += (names.empty() ? "" : ", ") + std::string(name_of(unit));
  }
  throw UnusableInput(field, analysis::quoted(name), "one of: " + names);
}

Sensitivity::Sensitivity(SensitivityQuestion question) : question_(std::move(question)) {
  check(question_);
  score_bound_ = bounds_of(question_);
  const std::vector<HeadGroup> groups = analysis::group_heads(question_, score_bound_);
  check_scan_work(question_, groups.size());
  check_block_work(question_);
  const auto [unit, weights] = analysis::group_weights(question_, groups, {});
  const auto found = analysis::scan(question_, groups, weights);
  worst_ = found.worst;
  rows_moved_ = found.rows_moved;
  total_ = analysis::times_root_up(unit, found.total_square);
  per_head_.resize(static_cast<std::size_t>(question_.shape.heads));
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const std::int32_t kv : groups[g].kv_heads) {
      const auto [first, count] = analysis::query_heads(question_.shape, kv);
      const double delta = analysis::times_root_up(clip_of(question_.clips.v, kv), found.group_square[g]);
      std::fill_n(per_head_.begin() + first, count, delta);
    }
  }
}

double Sensitivity::score_bound() const noexcept { return *std::max_element(score_bound_.begin(), score_bound_.end()); }

double Sensitivity::score_bound(std::int32_t kv_head) const {
  if (kv_head < 0 || kv_head >= question_.shape.kv_heads)
    throw UnusableInput("kv_head", std::to_string(kv_head), "an integer below H_kv");
  return score_bound_[static_cast<std::size_t>(kv_head)];
}

double Sensitivity::row_factor(std::int32_t kv_head, std::int64_t row) const {
  const double bound = score_bound(kv_head);
  const Places places(question_, question_.shape.lengths[static_cast<std::size_t>(worst_.sequence)]);
  if (row < 0 || row >= places.rows())
    throw UnusableInput("row", std::to_string(row),
                        "an integer below the worst sequence's " + std::to_string(places.rows()) + " queries");
  const std::int64_t place = question_.unit == Unit::sequence ? 0 : worst_.position;
  const Visible moving = places.moving(row);
  if (place < moving.begin || place >= moving.end) return 0;
  return analysis::RowFactor(question_.unit, bound, question_.precision)(places.moved(row, place));
}

double Sensitivity::mu(std::span<const double> sigma) const {
  if (sigma.size() != per_head_.size())
    throw UnusableInput("sigma", std::to_string(sigma.size()) + " numbers",
                        "one for each of the " + std::to_string(per_head_.size()) + " query heads");
  for (std::size_t h = 0; h < sigma.size(); ++h)
    if (!(sigma[h] > 0) || !std::isfinite(sigma[h]))
      throw UnusableInput("sigma[" + std::to_string(h) + "]", written(sigma[h]), "a finite number above 0");
  const std::vector<HeadGroup> groups = analysis::group_heads(question_, score_bound_);
  const auto [unit, weights] = analysis::group_weights(question_, groups, sigma);
  return analysis::times_root_up(unit, analysis::scan(question_, groups, weights).total_square);
}

}  // namespace dpflash::attention
