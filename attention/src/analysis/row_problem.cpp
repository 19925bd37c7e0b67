#include "analysis/row_problem.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace dpflash::attention::analysis {
namespace {

using Sequence = RowProblem::Sequence;
using Weights = std::vector<std::vector<double>>;  ///< one a place of each sequence

constexpr double kGap = 1e-4;
constexpr double kWork = 2e8;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

Sequence sequence_of(const SensitivityQuestion& question, const SequenceLengths& lengths,
                     const std::vector<HeadGroup>& groups) {
  const Places places(question, lengths);
  Sequence out{
      .rows = places.rows(), .places = places.count(), .begin = {}, .end = {}, .own = {}, .moved = {}, .moved_own = {}};
  const std::size_t rows = index(out.rows);
  out.own.assign(rows, -1);
  out.moved.assign(rows * groups.size(), 0);
  for (std::int64_t row = 0; row < out.rows; ++row) {
    const Visible where = places.moving(row);
    const Moved most = places.most_moved(row);
    out.begin.push_back(most.visible > 0 ? where.begin : 0);
    out.end.push_back(most.visible > 0 ? where.end : 0);
    for (std::size_t g = 0; g < groups.size() && most.visible > 0; ++g)
      out.moved[g * rows + index(row)] = groups[g].factor(most) + groups[g].factor.slack();
  }
  out.moved_own = out.moved;
  for (std::int64_t place = 0; place < out.places; ++place) {
    const std::int64_t row = places.own_row(place);
    if (row < 0) continue;
    out.own[index(row)] = place;
    for (std::size_t g = 0; g < groups.size(); ++g)
      out.moved_own[g * rows + index(row)] = groups[g].factor(places.moved(row, place)) + groups[g].factor.slack();
  }
  return out;
}

/// The multipliers lambda of the records' constraints, and what follows from them.
class Dual {
 public:
  explicit Dual(const RowProblem& problem)
      : problem_(problem), rows_(problem.copies.size()), scale_(rows_ * problem.clips.size()) {
    for (const Sequence& s : problem.sequences) usage_.emplace_back(index(s.places));
  }

  /// s_gi^2 = (sum over sequences of f^2 lambda(records that move the row) + o^2 lambda(its own)) / copies; false when
  /// some row that moves is left with 0.
  bool set(const Weights& lambda) {
    std::fill(scale_.begin(), scale_.end(), 0.0);
    for (std::size_t k = 0; k < problem_.sequences.size(); ++k) add_weights(problem_.sequences[k], lambda[k]);
    for (std::size_t g = 0; g < problem_.clips.size(); ++g)
      for (std::size_t i = 0; i < rows_; ++i) {
        double& s = scale_[g * rows_ + i];
        if (!(problem_.copies[i] > 0)) continue;
        s = std::sqrt(s / problem_.copies[i]);
        if (!(s > 0)) return false;
      }
    measure();
    return true;
  }

  /// Any positive s.
  void set_scale(std::vector<double> scale) {
    scale_ = std::move(scale);
    measure();
  }

  [[nodiscard]] const Weights& usage() const { return usage_; }
  [[nodiscard]] const std::vector<double>& scale() const { return scale_; }
  [[nodiscard]] double most() const { return most_; }
  /// Total variance, before and after the scaling that makes the largest mu^2 equal 1.
  [[nodiscard]] double variance() const { return variance_; }
  [[nodiscard]] double feasible_variance() const { return variance_ * most_; }

 private:
  void add_weights(const Sequence& s, const std::vector<double>& lambda) {
    std::vector<double> prefix(lambda.size() + 1);
    for (std::size_t j = 0; j < lambda.size(); ++j) prefix[j + 1] = prefix[j] + lambda[j];
    const std::size_t rows = index(s.rows);
    for (std::size_t i = 0; i < rows; ++i) {
      if (s.end[i] <= s.begin[i]) continue;
      const double own = s.own[i] < 0 ? 0 : lambda[index(s.own[i])];
      const double others = std::max(prefix[index(s.end[i])] - prefix[index(s.begin[i])] - own, 0.0);
      for (std::size_t g = 0; g < problem_.clips.size(); ++g) {
        const double f = s.moved[g * rows + i];
        const double o = s.moved_own[g * rows + i];
        scale_[g * rows_ + i] += f * f * others + o * o * own;
      }
    }
  }

  void measure() {
    most_ = 0;
    for (std::size_t k = 0; k < problem_.sequences.size(); ++k) use(problem_.sequences[k], usage_[k]);
    variance_ = 0;
    for (std::size_t g = 0; g < problem_.clips.size(); ++g)
      for (std::size_t i = 0; i < rows_; ++i)
        variance_ += problem_.clips[g] * problem_.copies[i] * scale_[g * rows_ + i];
  }

  /// usage_j: mu^2 of the record at place j.
  void use(const Sequence& s, std::vector<double>& usage) {
    std::vector<double> difference(usage.size() + 1);
    std::fill(usage.begin(), usage.end(), 0.0);
    const std::size_t rows = index(s.rows);
    for (std::size_t i = 0; i < rows; ++i) {
      if (s.end[i] <= s.begin[i]) continue;
      double moved = 0;
      double own = 0;
      for (std::size_t g = 0; g < problem_.clips.size(); ++g) {
        const double f = s.moved[g * rows + i];
        const double o = s.moved_own[g * rows + i];
        const double each = problem_.clips[g] / scale_[g * rows_ + i];
        moved += each * f * f;
        own += each * (o * o - f * f);
      }
      difference[index(s.begin[i])] += moved;
      difference[index(s.end[i])] -= moved;
      if (s.own[i] >= 0) usage[index(s.own[i])] = own;
    }
    double sum = 0;
    for (std::size_t j = 0; j < usage.size(); ++j) {
      sum += difference[j];
      usage[j] = std::max(usage[j] + sum, 0.0);
      most_ = std::max(most_, usage[j]);
    }
  }

  const RowProblem& problem_;
  std::size_t rows_;
  std::vector<double> scale_;
  Weights usage_;
  double most_ = 0;
  double variance_ = 0;
};

/// The best s met so far.
class Best {
 public:
  void offer(const Dual& dual) {
    if (!(dual.feasible_variance() < variance_)) return;
    variance_ = dual.feasible_variance();
    scale_ = dual.scale();
    for (double& s : scale_) s *= dual.most();
  }
  /// Whether no s is better by more than the gap: for lambda of sum 1 the dual value is variance()^2.
  [[nodiscard]] bool proven(const Dual& dual, double gap) const {
    return variance_ <= dual.variance() * dual.variance() * (1 + gap);
  }
  [[nodiscard]] std::vector<double> take() { return std::move(scale_); }

 private:
  double variance_ = std::numeric_limits<double>::infinity();
  std::vector<double> scale_;
};

void normalise(Weights& lambda) {
  double sum = 0;
  for (const auto& part : lambda)
    for (const double l : part) sum += l;
  for (auto& part : lambda)
    for (double& l : part) l = l > 1e-100 * sum ? l / sum : 0;  // subnormal numbers are slow
}

/// Shares y of mu^2 that repeat every W rows, W the most rows of one record: any W rows in sequence have a sum of 1.
std::vector<double> periodic(const RowProblem& problem) {
  const Sequence& s = problem.sequences[0];
  const std::size_t rows = index(s.rows);
  std::size_t period = 1;
  std::size_t first = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    while (first < i && s.end[first] <= s.begin[i]) ++first;
    period = std::max(period, i - first + 1);
  }
  std::vector<double> total(rows);
  for (std::size_t g = 0; g < problem.clips.size(); ++g)
    for (std::size_t i = 0; i < rows; ++i) total[i] += problem.clips[g] * s.moved_own[g * rows + i];
  std::vector<double> share(period);
  for (std::size_t i = 0; i < rows; ++i) share[i % period] += total[i] * total[i];
  for (double& y : share) y = std::sqrt(y);
  std::vector<double> scale(rows * problem.clips.size());
  for (std::size_t g = 0; g < problem.clips.size(); ++g)
    for (std::size_t i = 0; i < rows; ++i)
      if (total[i] > 0) scale[g * rows + i] = s.moved_own[g * rows + i] * total[i] / share[i % period];
  return scale;
}

/// s_gi = constants_g for every row.
std::vector<double> repeated(const std::vector<double>& constants, std::size_t rows) {
  std::vector<double> out;
  for (const double c : constants) out.insert(out.end(), rows, c);
  return out;
}

/// Maximises the dual by minorising each root: lambda_j times usage_j^2 never lowers it.
void ascend(const RowProblem& problem, Dual& dual, Best& best) {
  Weights lambda;
  double work = 1;
  for (const Sequence& s : problem.sequences) {
    lambda.emplace_back(index(s.places), 1.0);
    work += static_cast<double>(s.places) + static_cast<double>(s.rows) * static_cast<double>(problem.clips.size());
  }
  normalise(lambda);
  const int most = static_cast<int>(std::clamp(kWork / work, 20.0, 2e4));
  for (int iteration = 0; iteration < most; ++iteration) {
    if (!dual.set(lambda)) return;
    if (iteration % 8 == 0 || iteration + 1 == most) {
      best.offer(dual);
      if (best.proven(dual, kGap)) return;
    }
    for (std::size_t k = 0; k < lambda.size(); ++k)
      for (std::size_t j = 0; j < lambda[k].size(); ++j) lambda[k][j] *= std::pow(dual.usage()[k][j], 2);
    normalise(lambda);
  }
}

}  // namespace

RowProblem row_problem(const SensitivityQuestion& question, const std::vector<HeadGroup>& groups) {
  RowProblem out;
  for (const auto& [lengths, first, count] : distinct_lengths(question.shape)) {
    const Sequence& s = out.sequences.emplace_back(sequence_of(question, lengths, groups));
    out.copies.resize(std::max(out.copies.size(), index(s.rows)));
    for (std::size_t i = 0; i < index(s.rows); ++i)
      if (s.end[i] > s.begin[i]) out.copies[i] += static_cast<double>(count);
  }
  for (const HeadGroup& group : groups) {
    double sum = 0;
    for (const std::int32_t kv : group.kv_heads)
      sum += clip_of(question.clips.v, kv) * query_heads(question.shape, kv).count;
    out.clips.push_back(sum);
  }
  return out;
}

std::vector<double> least_variance(const RowProblem& problem, const Start& start) {
  Dual dual(problem);
  Best best;
  dual.set_scale(repeated(start.per_group, problem.copies.size()));
  best.offer(dual);
  // Nested rows: the constraint of the worst record is the only one.
  Weights lambda;
  for (const Sequence& s : problem.sequences) lambda.emplace_back(index(s.places));
  lambda[start.sequence][index(start.place)] = 1;
  if (dual.set(lambda)) {
    best.offer(dual);
    if (best.proven(dual, 1e-9)) return best.take();
  }
  if (problem.sequences.size() == 1) {
    dual.set_scale(periodic(problem));
    best.offer(dual);
  }
  ascend(problem, dual, best);
  return best.take();
}

}  // namespace dpflash::attention::analysis
