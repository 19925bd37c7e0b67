#include "dpflash/noise/low_rank.hpp"

#include <algorithm>
#include <utility>

#include "draw/draws.hpp"
#include "structure/checks.hpp"
#include "structure/fused.hpp"
#include "structure/norms.hpp"

namespace dpflash::noise {

using namespace structure;

namespace {
constexpr std::uint64_t kMostEntries = std::uint64_t{1} << 40;
constexpr std::size_t kMostCovariance = 4096;
}  // namespace

LowRank::LowRank(Basis basis, std::size_t columns, double clip, const Calibration& calibration)
    : basis_(std::move(basis)),
      columns_(columns),
      clip_(clip),
      calibration_(check_family(calibration, Family::gaussian)),
      basis_norm_(0),
      scale_(0) {
  check_dimension(columns, "columns");
  check_clip(clip);
  const double distance = distance_from_orthonormal(basis_);
  if (!(distance <= kTolerance))
    throw accounting::UnusableInput("basis", "a distance of " + text(distance) + " from orthonormal",
                                    "|U^T U - I|_F at most " + text(kTolerance));
  if (columns > kMostEntries / basis_.rows)
    throw accounting::UnusableInput("columns", std::to_string(columns), "rows * columns at most 2^40");
  // |U|_2^2 = |U^T U|_2 <= 1 + |U^T U - I|_F
  basis_norm_ = sqrt_up(above(1 + distance));
  scale_ = scale_of(multiply_up(calibration.noise_multiplier(), multiply_up(basis_norm_, clip)));
}

void LowRank::clip(std::span<float> contribution) const {
  check_size(contribution.size(), size(), "contribution");
  scale_down(contribution, l2_norm(contribution), clip_);
}

double LowRank::mu() const {
  return std::min(divide_up(multiply_up(basis_norm_, clip_), scale_), divide_up(1, calibration_.noise_multiplier()));
}

std::vector<double> LowRank::covariance() const {
  if (rows() > kMostCovariance)
    throw accounting::UnusableInput("rows", std::to_string(rows()), "at most 4096 for a covariance");
  const double variance = static_cast<double>(scale_) * scale_;
  std::vector<double> out(rows() * rows());
  for (std::size_t i = 0; i < rows(); ++i)
    for (std::size_t k = 0; k < rows(); ++k) {
      double sum = 0;
      for (std::size_t a = 0; a < rank(); ++a)
        sum += static_cast<double>(basis_.values[i * rank() + a]) * basis_.values[k * rank() + a];
      out[i * rows() + k] = variance * sum;
    }
  return out;
}

double LowRank::expected_squared_error() const {
  double energy = 0;
  for (const float value : basis_.values) energy += static_cast<double>(value) * value;
  return static_cast<double>(columns_) * energy * static_cast<double>(scale_) * scale_;
}

void LowRank::project(std::span<const float> sum, std::span<float> subspace) const {
  check_size(sum.size(), size(), "sum");
  check_size(subspace.size(), draws(), "subspace");
  const std::size_t r = rank();
  // The pieces that in_parallel deals out are whole columns, weighed by the work of one.
  const std::uint64_t column_work = std::uint64_t{rows()} * r;
  in_parallel(column_work * columns_, column_work, [&](std::uint64_t first, std::uint64_t end) {
    const std::size_t begin = first / column_work;
    const std::size_t n = end / column_work - begin;
    std::vector<double> total(r * n, 0.0);
    for (std::size_t i = 0; i < rows(); ++i) {
      const float* g = sum.data() + i * columns_ + begin;
      for (std::size_t a = 0; a < r; ++a) {
        const double u = basis_.values[i * r + a];
        double* out = total.data() + a * n;
        for (std::size_t j = 0; j < n; ++j) out[j] += u * static_cast<double>(g[j]);
      }
    }
    for (std::size_t a = 0; a < r; ++a)
      for (std::size_t j = 0; j < n; ++j) subspace[a * columns_ + begin + j] = static_cast<float>(total[a * n + j]);
  });
}

void LowRank::privatise_projected(std::span<float> subspace, NoiseSource& source, const Position& position) const {
  check_size(subspace.size(), draws(), "subspace");
  source.claim(position, draws());
  with_draws(source, draw::Use::normal, position, draws(),
             [&](std::uint64_t i, std::span<const float> z) { fused_add(scale_, z, subspace.data() + i); });
}

void LowRank::lift(std::span<const float> subspace, std::span<float> out) const {
  check_size(subspace.size(), draws(), "subspace");
  check_size(out.size(), size(), "out");
  const std::size_t r = rank();
  const std::uint64_t row_work = std::uint64_t{columns_} * r;
  in_parallel(row_work * rows(), row_work, [&](std::uint64_t first, std::uint64_t end) {
    std::vector<double> total(columns_);
    for (std::size_t i = first / row_work; i < end / row_work; ++i) {
      std::fill(total.begin(), total.end(), 0.0);
      for (std::size_t a = 0; a < r; ++a) {
        const double u = basis_.values[i * r + a];
        const float* y = subspace.data() + a * columns_;
        for (std::size_t j = 0; j < columns_; ++j) total[j] += u * static_cast<double>(y[j]);
      }
      for (std::size_t j = 0; j < columns_; ++j) out[i * columns_ + j] = static_cast<float>(total[j]);
    }
  });
}

void LowRank::privatise(std::span<float> sum, NoiseSource& source, const Position& position) const {
  check_size(sum.size(), size(), "sum");
  std::vector<float> subspace(draws());
  project(sum, subspace);
  privatise_projected(subspace, source, position);
  lift(subspace, sum);
}

}  // namespace dpflash::noise
