#include "dpflash/attention/clip_choice.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/attention/reference.hpp>
#include <map>
#include <set>
#include <vector>

#include "analysis/words.hpp"
#include "shape/shape.hpp"

namespace dpflash::attention {
namespace {

using accounting::UnusableInput;

constexpr int kDeepest = 80;
constexpr double kEighth = 8;

/// Steps below the largest norms, in eighths of an octave: of C_q, C_k, C_v.
using Steps = std::array<int, 3>;

double largest_norm(const char* field, std::span<const double> rows, std::int64_t count, std::int32_t dim) {
  if (static_cast<std::int64_t>(rows.size()) != count * dim)
    throw UnusableInput(field, std::to_string(rows.size()) + " numbers",
                        std::to_string(count * dim) + ", as the shape says");
  double most = 0;
  for (std::size_t i = 0; i < rows.size(); i += static_cast<std::size_t>(dim)) {
    double square = 0;
    for (const double x : rows.subspan(i, static_cast<std::size_t>(dim))) square += x * x;
    if (!std::isfinite(square)) throw UnusableInput(field, "a row without a finite norm", "finite rows");
    most = std::max(most, square);
  }
  if (!(most > 0)) throw UnusableInput(field, "rows of zeros", "a sample with a norm to clip");
  return std::sqrt(most);
}

/// Noise and bias of any point of the grid.
class Errors {
 public:
  Errors(const Shape& shape, const PublicSample& sample, const noise::Calibration& calibration, Allocation allocation)
      : shape_(shape), sample_(sample), calibration_(calibration), allocation_(allocation) {
    check(shape);
    std::int64_t queries = 0;
    std::int64_t keys = 0;
    for (const SequenceLengths& lengths : shape.lengths) {
      queries += lengths.queries;
      keys += lengths.keys;
      for (std::int64_t row = 0; row < lengths.queries; ++row)
        rows_ += visible(shape, lengths, row).count() > 0 ? 1 : 0;
    }
    largest_ = {largest_norm("sample.q", sample.q, queries * shape.heads, shape.head_dim),
                largest_norm("sample.k", sample.k, keys * shape.kv_heads, shape.head_dim),
                largest_norm("sample.v", sample.v, keys * shape.kv_heads, shape.head_dim)};
    if (rows_ == 0) throw UnusableInput("lengths", "rows that see no key", "at least one that does");
    // Beyond every norm, and beyond what the clip's own rounding takes off.
    truth_ = output({1.001 * largest_[0], 1.001 * largest_[1], 1.001 * largest_[2]});
  }

  ClipChoice at(const Steps& steps) {
    std::array<double, 3> clips{};
    for (std::size_t c = 0; c < 3; ++c) clips[c] = largest_[c] * std::exp2(-steps[c] / kEighth);
    const std::vector<double> found = output(clips);
    double square = 0;
    for (std::size_t i = 0; i < found.size(); ++i) square += (found[i] - truth_[i]) * (found[i] - truth_[i]);
    const double elements = static_cast<double>(rows_) * shape_.heads;
    return {.c_q = clips[0],
            .c_k = clips[1],
            .c_v = clips[2],
            .noise = clips[2] * clips[2] * unit_variance(steps[0] + steps[1], clips) / elements,
            .bias = square / (elements * shape_.head_dim),
            .evaluations = ++evaluations_};
  }

 private:
  [[nodiscard]] std::vector<double> output(const std::array<double, 3>& clips) const {
    const std::int64_t dim = shape_.head_dim;
    const auto tensor = [&](std::span<const double> rows, std::int32_t heads) {
      return Tensor<const double>{rows.data(), 0, heads * dim, dim};
    };
    std::vector<double> clean(sample_.q.size());
    ReferenceTensors<double> tensors{.q = tensor(sample_.q, shape_.heads),
                                     .k = tensor(sample_.k, shape_.kv_heads),
                                     .v = tensor(sample_.v, shape_.kv_heads),
                                     .out = {},
                                     .clean = {clean.data(), 0, shape_.heads * dim, dim}};
    reference(tensors, {.shape = shape_, .clips = {{clips[0]}, {clips[1]}, {clips[2]}}, .packed = true});
    return clean;
  }

  /// Total variance for C_v = 1; C_q and C_k matter by their product alone.
  double unit_variance(int product, const std::array<double, 3>& clips) {
    const auto [found, is_new] = variance_.try_emplace(product, 0.0);
    if (is_new) {
      const Sensitivity analysis({.shape = shape_, .clips = {{clips[0]}, {clips[1]}, {1.0}}});
      found->second = NoiseTable(analysis, calibration_, allocation_).total_variance();
    }
    return found->second;
  }

  const Shape& shape_;
  const PublicSample& sample_;
  const noise::Calibration& calibration_;
  Allocation allocation_;
  std::array<double, 3> largest_{};
  std::int64_t rows_ = 0;
  std::vector<double> truth_;
  std::map<int, double> variance_;
  int evaluations_ = 0;
};

/// A point and the best seen, moved together.
class Walk {
 public:
  explicit Walk(Errors& errors) : errors_(errors) {}

  /// Whether the point is new, inside, and better.
  bool try_point(const Steps& steps) {
    if (std::any_of(steps.begin(), steps.end(), [](int s) { return s < 0 || s > kDeepest; })) return false;
    if (!seen_.insert(steps).second) return false;
    const ClipChoice here = errors_.at(steps);
    best_.evaluations = here.evaluations;
    if (best_.c_v > 0 && !(here.error() < best_.error())) return false;
    best_ = here;
    place_ = steps;
    return true;
  }

  bool try_around(int step) {
    constexpr std::array<Steps, 4> kMoves = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, -1, 0}}};
    for (const Steps& move : kMoves)
      for (const int sign : {step, -step}) {
        Steps next = place_;
        for (std::size_t c = 0; c < 3; ++c) next[c] += sign * move[c];
        if (try_point(next)) return true;
      }
    return false;
  }

  [[nodiscard]] const ClipChoice& best() const { return best_; }

 private:
  Errors& errors_;
  std::set<Steps> seen_;
  Steps place_{};
  ClipChoice best_;
};

}  // namespace

ClipChoice choose_clips(const Shape& shape, const PublicSample& sample, const noise::Calibration& calibration,
                        Allocation allocation) {
  Errors errors(shape, sample, calibration, allocation);
  Walk walk(errors);
  for (const int q : {0, 16, 32})
    for (const int k : {0, 16, 32})
      for (const int v : {0, 16, 32}) walk.try_point({q, k, v});
  for (const int step : {8, 4, 2, 1})
    while (walk.try_around(step)) {
    }
  return walk.best();
}

}  // namespace dpflash::attention
