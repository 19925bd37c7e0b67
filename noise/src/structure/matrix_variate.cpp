#include "dpflash/noise/matrix_variate.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "draw/draws.hpp"
#include "structure/checks.hpp"
#include "structure/factor.hpp"
#include "structure/fused.hpp"

namespace dpflash::noise {

using namespace structure;

namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatRowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr std::size_t kMostCovariance = 4096;
constexpr int kTries = 24;
/// A Z B^T is rounded to floats before it is scaled: its standard deviations, all in [1 / (|A^-1| |B^-1|), |A| |B|],
/// must be far from where floats lose bits and vanish, and from where they end.
constexpr double kMostInverse = 0x1p96;
constexpr double kMostFactor = 0x1p96;

Eigen::Map<const RowMajor> square(const std::vector<double>& values, std::size_t n) {
  return {values.data(), static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(n)};
}

Eigen::Map<const FloatRowMajor> matrix(std::span<const float> values, std::size_t rows, std::size_t columns) {
  return {values.data(), static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(columns)};
}

double squared(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

}  // namespace

MatrixVariate::MatrixVariate(std::span<const double> row_covariance, std::size_t rows,
                             std::span<const double> column_covariance, std::size_t columns, double clip,
                             const Calibration& calibration)
    : rows_(rows),
      columns_(columns),
      clip_(clip),
      calibration_(check_family(calibration, Family::gaussian)),
      scale_(0) {
  check_clip(clip);
  Factor row = factor(row_covariance, rows, "row_covariance", kMostCondition);
  Factor column = factor(column_covariance, columns, "column_covariance", kMostCondition);
  row_factor_ = std::move(row.lower);
  column_factor_ = std::move(column.lower);
  inverse_norm_ = multiply_up(row.inverse_norm, column.inverse_norm);
  factor_norm_ = multiply_up(row.norm, column.norm);
  if (!(inverse_norm_ <= kMostInverse) || !(factor_norm_ <= kMostFactor))
    throw accounting::UnusableInput("row_covariance",
                                    "|A|_F |B|_F = " + text(factor_norm_) +
                                        " and |A^-1|_F |B^-1|_F = " + text(inverse_norm_) + " with column_covariance",
                                    "at most 2^96 both: noise before scaling must be a normal float");
  scale_ = scale_of(multiply_up(calibration.noise_multiplier(), clip));
}

double MatrixVariate::whitened_norm(std::span<const float> contribution) const {
  check_size(contribution.size(), size(), "contribution");
  const auto a = square(row_factor_, rows_).triangularView<Eigen::Lower>();
  const auto b = square(column_factor_, columns_).triangularView<Eigen::Lower>();
  const RowMajor d = matrix(contribution, rows_, columns_).cast<double>();
  RowMajor w = a.solve(d);
  w = b.solve(w.transpose().eval()).transpose().eval();
  // A^-1 D B^-T = W + A^-1 (D - A W B^T) B^-T for whatever W the solves gave; the residual's own error is charged.
  const RowMajor once = a * w;
  const RowMajor residual = d - (b * once.transpose().eval()).transpose();
  const double terms = 2 * (static_cast<double>(rows_ + columns_) + 16) * kUnit;
  const double norms = 1 + 2 * (static_cast<double>(size()) + 16) * kUnit;
  const double w_norm = w.norm() * norms;
  const double left = residual.norm() * norms + terms * (factor_norm_ * w_norm + d.norm() * norms);
  const double bound = (w_norm + inverse_norm_ * left) * (1 + 8 * kUnit);
  return std::isfinite(bound) ? bound : kInfinity;
}

void MatrixVariate::clip(std::span<float> contribution) const {
  check_size(contribution.size(), size(), "contribution");
  const auto finite = [](float x) { return std::isfinite(x); };
  if (!std::all_of(contribution.begin(), contribution.end(), finite)) {
    std::fill(contribution.begin(), contribution.end(), 0.0f);
    return;
  }
  const double norm = whitened_norm(contribution);
  if (norm <= clip_) return;
  // Rounding to floats may lengthen the whitened matrix: the bound is asked of the floats themselves.
  const std::vector<float> original(contribution.begin(), contribution.end());
  double margin = 0x1p-24;
  for (int i = 0; i < kTries && std::isfinite(norm); ++i, margin = std::min(4 * margin, 0.5 + margin / 2)) {
    const double factor = clip_ / norm * (1 - margin);
    for (std::size_t k = 0; k < original.size(); ++k)
      contribution[k] = float_towards_zero(static_cast<double>(original[k]) * factor);
    if (whitened_norm(contribution) <= clip_) return;
  }
  std::fill(contribution.begin(), contribution.end(), 0.0f);
}

double MatrixVariate::mu() const { return divide_up(clip_, scale_); }

std::vector<double> MatrixVariate::covariance() const {
  if (size() > kMostCovariance)
    throw accounting::UnusableInput("size", std::to_string(size()), "at most 4096 for a covariance");
  const RowMajor row = square(row_factor_, rows_) * square(row_factor_, rows_).transpose();
  const RowMajor column = square(column_factor_, columns_) * square(column_factor_, columns_).transpose();
  const double variance = static_cast<double>(scale_) * scale_;
  std::vector<double> out(size() * size());
  for (std::size_t p = 0; p < size(); ++p)
    for (std::size_t q = 0; q < size(); ++q)
      out[p * size() + q] = variance *
                            row(static_cast<Eigen::Index>(p / columns_), static_cast<Eigen::Index>(q / columns_)) *
                            column(static_cast<Eigen::Index>(p % columns_), static_cast<Eigen::Index>(q % columns_));
  return out;
}

double MatrixVariate::expected_squared_error() const {
  return static_cast<double>(scale_) * scale_ * squared(row_factor_) * squared(column_factor_);
}

void MatrixVariate::privatise(std::span<float> sum, NoiseSource& source, const Position& position) const {
  check_size(sum.size(), size(), "sum");
  std::vector<float> noise(size());
  source.claim(position, draws());
  with_draws(source, draw::Use::normal, position, draws(), [&](std::uint64_t i, std::span<const float> z) {
    std::copy(z.begin(), z.end(), noise.begin() + static_cast<std::ptrdiff_t>(i));
  });
  const RowMajor rows =
      square(row_factor_, rows_).triangularView<Eigen::Lower>() * matrix(noise, rows_, columns_).cast<double>().eval();
  const RowMajor both =
      (square(column_factor_, columns_).triangularView<Eigen::Lower>() * rows.transpose().eval()).transpose();
  Eigen::Map<FloatRowMajor>(noise.data(), both.rows(), both.cols()) = both.cast<float>();
  fused_add(scale_, noise, sum.data());
}

}  // namespace dpflash::noise
