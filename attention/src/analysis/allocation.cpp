#include "dpflash/attention/allocation.hpp"

#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <limits>
#include <stdexcept>
#include <variant>

#include "analysis/row_problem.hpp"
#include "analysis/table_check.hpp"
#include "analysis/words.hpp"

namespace dpflash::attention {
namespace {

using accounting::UnusableInput;
using analysis::HeadGroup;
using analysis::TableView;
using analysis::written;

constexpr std::int64_t kMaxEntries = std::int64_t{1} << 26;

/// 1/z, rounded down.
double mu_of(const noise::Calibration& calibration, Unit unit) {
  if (calibration.family() != noise::Family::gaussian)
    throw UnusableInput("calibration", "family " + std::string(noise::name_of(calibration.family())), "gaussian");
  const accounting::Plan& plan = calibration.plan();
  if (plan.adjacency != accounting::Adjacency::add_or_remove_one)
    throw UnusableInput("calibration", "adjacency " + std::string(accounting::name_of(plan.adjacency)),
                        "add-or-remove-one: the sensitivity of attention is the whole distance of two neighbours");
  const auto& sampling = plan.events[calibration.event()].sampling;
  if (std::holds_alternative<accounting::PoissonSampling>(sampling) && unit != Unit::zero_out)
    throw UnusableInput("calibration", "a sampled event", "without sampling, or the unit zero-out");
  const double z = calibration.noise_multiplier();
  const double mu = 1 / z;
  return std::fma(mu, z, -1) > 0 ? std::nextafter(mu, 0.0) : mu;
}

std::vector<HeadGroup> groups_of(const Sensitivity& analysis) {
  std::vector<double> bounds;
  for (std::int32_t kv = 0; kv < analysis.question().shape.kv_heads; ++kv) bounds.push_back(analysis.score_bound(kv));
  return analysis::group_heads(analysis.question(), bounds);
}

/// Delta_h sum(Delta) / mu^2 is the variance of least total under sum(Delta_h^2 / sigma_h^2) <= mu^2.
std::vector<double> per_head_sigma(std::span<const double> deltas, double mu) {
  const double largest = *std::max_element(deltas.begin(), deltas.end());
  double sum = 0;
  for (const double d : deltas) sum += d / largest;
  std::vector<double> out;
  for (const double d : deltas) out.push_back(largest * std::sqrt(d / largest * sum) / mu);
  return out;
}

/// Refuses what Allocation::optimal has no memory for.
void check_optimal(const Sensitivity& analysis, std::int64_t rows) {
  const SensitivityQuestion& question = analysis.question();
  if (rows * question.shape.heads > kMaxEntries)
    throw UnusableInput("allocation", "optimal with " + std::to_string(rows * question.shape.heads) + " entries",
                        "at most 2^26, or uniform or per-head");
  const auto groups = static_cast<std::int64_t>(groups_of(analysis).size());
  std::int64_t unknowns = 0;
  for (const auto& distinct : analysis::distinct_lengths(question.shape))
    unknowns += (distinct.lengths.queries + distinct.lengths.keys) * groups;
  if (unknowns > kMaxEntries)
    throw UnusableInput("allocation", "optimal with " + std::to_string(unknowns) + " rows and keys of distinct lengths",
                        "at most 2^26, or uniform or per-head");
}

std::vector<double> optimal_sigma(const Sensitivity& analysis, std::int64_t rows, double mu) {
  const SensitivityQuestion& question = analysis.question();
  // Clips are taken relative to the largest, so that no square leaves the doubles.
  SensitivityQuestion relative = question;
  const double largest = *std::max_element(question.clips.v.begin(), question.clips.v.end());
  for (double& c : relative.clips.v) c /= largest;
  const std::vector<HeadGroup> groups = groups_of(analysis);
  const analysis::RowProblem problem = analysis::row_problem(relative, groups);
  analysis::Start start{.per_group = {}, .sequence = 0, .place = std::max<std::int64_t>(analysis.worst().position, 0)};
  for (const HeadGroup& group : groups)
    start.per_group.push_back(
        analysis.per_head()[static_cast<std::size_t>(analysis::query_heads(question.shape, group.kv_heads[0]).first)] /
        clip_of(question.clips.v, group.kv_heads[0]));
  const SequenceLengths& worst = question.shape.lengths[static_cast<std::size_t>(analysis.worst().sequence)];
  const auto distinct = analysis::distinct_lengths(question.shape);
  start.sequence = static_cast<std::size_t>(
      std::find_if(distinct.begin(), distinct.end(),
                   [&](const auto& d) { return d.lengths.queries == worst.queries && d.lengths.keys == worst.keys; }) -
      distinct.begin());
  const std::vector<double> scale = analysis::least_variance(problem, start);

  const auto stride = static_cast<std::size_t>(rows);
  std::vector<double> sigma(stride * static_cast<std::size_t>(question.shape.heads));
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (const std::int32_t kv : groups[g].kv_heads) {
      const auto [first, count] = analysis::query_heads(question.shape, kv);
      const double clip = clip_of(relative.clips.v, kv);
      for (std::int32_t h = first; h < first + count; ++h)
        for (std::size_t i = 0; i < stride; ++i)
          sigma[static_cast<std::size_t>(h) * stride + i] =
              problem.copies[i] > 0 ? largest * std::sqrt(clip * scale[g * stride + i]) / mu : 0;
    }
  return sigma;
}

/// The least float not below each number; rows without noise (0) take the least of the table: they are constants.
std::vector<float> floats_up(const std::vector<double>& sigma) {
  double least = std::numeric_limits<double>::infinity();
  for (const double s : sigma)
    if (s > 0) least = std::min(least, s);
  if (!std::isfinite(least)) least = std::numeric_limits<float>::min();
  std::vector<float> out;
  out.reserve(sigma.size());
  for (const double s : sigma) {
    const double wanted = s > 0 ? s : least;
    auto f = static_cast<float>(wanted);
    if (static_cast<double>(f) < wanted) f = std::nextafter(f, std::numeric_limits<float>::infinity());
    if (!std::isnormal(f)) throw UnusableInput("sigma", written(wanted), "a normal float: other clips or another mu");
    out.push_back(f);
  }
  return out;
}

}  // namespace

std::string_view name_of(Allocation allocation) {
  switch (allocation) {
    case Allocation::uniform:
      return "uniform";
    case Allocation::per_head:
      return "per-head";
    case Allocation::optimal:
      break;
  }
  return "optimal";
}

NoiseTable::NoiseTable(const Sensitivity& analysis, std::string_view allocation)
    : question_(analysis.question()),
      allocation_(allocation),
      score_bound_(analysis.score_bound()),
      delta_total_(analysis.total()) {
  for (const SequenceLengths& lengths : question_.shape.lengths) rows_ = std::max(rows_, lengths.queries);
}

void NoiseTable::measure(const Sensitivity& analysis) {
  const TableView table{sigma_, per_row_ ? rows_ : 0};
  mu_ = analysis::verified_mu(analysis, table);
  total_variance_ = analysis::total_variance(question_, table);
  if (!(mu_ > 0)) return;
  const std::vector<float> one(static_cast<std::size_t>(heads()), 1.0F);
  const double uniform = delta_total_ / mu_;
  saving_ = uniform * uniform * analysis::total_variance(question_, {one, 0}) / total_variance_;
}

NoiseTable::NoiseTable(const Sensitivity& analysis, const noise::Calibration& calibration, Allocation allocation)
    : NoiseTable(analysis, name_of(allocation)) {
  const double mu = mu_of(calibration, question_.unit);
  calibration_ = calibration;
  // Before the passes over all rows that the others take.
  if (allocation == Allocation::optimal && analysis.rows_moved() > 0) check_optimal(analysis, rows_);
  if (analysis.rows_moved() == 0) {
    fit(analysis, std::vector<double>(static_cast<std::size_t>(heads()), 0), mu);
    return;
  }
  fit(analysis, std::vector<double>(static_cast<std::size_t>(heads()), delta_total_ / mu), mu);
  if (allocation != Allocation::uniform) fit_better(analysis, per_head_sigma(analysis.per_head(), mu), mu);
  if (allocation == Allocation::optimal) fit_better(analysis, optimal_sigma(analysis, rows_, mu), mu);
}

void NoiseTable::fit(const Sensitivity& analysis, std::vector<double> sigma, double mu) {
  per_row_ = sigma.size() != static_cast<std::size_t>(heads());
  sigma_ = floats_up(sigma);
  measure(analysis);
  // From the floats on: a factor below their spacing, on the numbers they were made of, might change nothing.
  for (int round = 0; round < 8 && mu_ > mu; ++round) {
    for (std::size_t i = 0; i < sigma.size(); ++i) sigma[i] = sigma_[i] * (mu_ / mu * (1 + 0x1p-40));
    sigma_ = floats_up(sigma);
    measure(analysis);
  }
  if (mu_ > mu) throw std::logic_error("attention noise: mu " + written(mu_) + " exceeds " + written(mu));
}

void NoiseTable::fit_better(const Sensitivity& analysis, std::vector<double> sigma, double mu) {
  NoiseTable other(analysis, allocation_);
  other.fit(analysis, sigma, mu);
  // Heads may have worst records of their own, and blocks were taken at their largest overlap: what is left of mu is
  // used.
  for (double& s : sigma) s *= other.mu_ / mu * (1 + 0x1p-24);
  other.fit(analysis, std::move(sigma), mu);
  if (other.total_variance_ > total_variance_) return;
  other.calibration_ = calibration_;
  *this = std::move(other);
}

NoiseTable NoiseTable::stated(const Sensitivity& analysis, std::span<const float> sigma) {
  NoiseTable out(analysis, "stated");
  const auto heads = static_cast<std::size_t>(out.heads());
  const std::size_t entries = heads * static_cast<std::size_t>(out.rows_);
  if (sigma.size() != heads && sigma.size() != entries)
    throw UnusableInput("sigma", std::to_string(sigma.size()) + " numbers",
                        std::to_string(heads) + " (heads) or " + std::to_string(entries) + " (heads times rows)");
  for (std::size_t i = 0; i < sigma.size(); ++i)
    if (!(sigma[i] > 0) || !std::isnormal(sigma[i]))
      throw UnusableInput("sigma[" + std::to_string(i) + "]", written(sigma[i]), "a positive normal float");
  out.sigma_.assign(sigma.begin(), sigma.end());
  out.per_row_ = sigma.size() != heads;
  out.measure(analysis);
  return out;
}

std::string NoiseTable::certificate() const {
  const auto number = [](double x) { return std::isfinite(x) ? written(x) : std::string("null"); };
  std::string out = R"({"mechanism":"attention-gaussian","unit":")" + std::string(name_of(question_.unit));
  out += R"(","block":)" + written(question_.block) + R"(,"allocation":")" + std::string(allocation_);
  out += R"(","score_bound":)" + number(score_bound_) + R"(,"delta_total":)" + number(delta_total_);
  out += R"(,"mu":)" + number(mu_) + R"(,"total_variance":)" + number(total_variance_);
  out += R"(,"saving":)" + number(saving_);
  if (!sigma_.empty()) {
    const auto [least, most] = std::minmax_element(sigma_.begin(), sigma_.end());
    out += R"(,"sigma":{"least":)" + written(*least) + R"(,"most":)" + written(*most) + "}";
  }
  return out + R"(,"calibration":)" + (calibration_ ? calibration_->certificate() : "null") + "}";
}

}  // namespace dpflash::attention
