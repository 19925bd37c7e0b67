#include "structure/factor.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "structure/checks.hpp"

namespace dpflash::noise::structure {

namespace {

using Matrix = Eigen::MatrixXd;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr std::size_t kMostSize = 4096;
constexpr double kAsymmetry = 1e-12;

void check_covariance(std::span<const double> covariance, std::size_t size, const std::string& field) {
  if (size < 1 || size > kMostSize)
    throw accounting::UnusableInput(field + ".size", std::to_string(size), "an integer in [1, 4096]");
  check_size(covariance.size(), size * size, field.c_str());
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      const double lower = covariance[i * size + j];
      const double upper = covariance[j * size + i];
      const std::string at = field + "[" + std::to_string(i) + ", " + std::to_string(j) + "]";
      if (!std::isfinite(lower)) throw accounting::UnusableInput(at, text(lower), "a finite number");
      const double diagonal =
          std::sqrt(std::abs(covariance[i * size + i])) * std::sqrt(std::abs(covariance[j * size + j]));
      if (!(std::abs(lower - upper) <= kAsymmetry * diagonal))
        throw accounting::UnusableInput(at, text(lower) + " against " + text(upper), "a symmetric matrix");
    }
}

}  // namespace

Factor factor(std::span<const double> covariance, std::size_t size, const std::string& field, double most_condition) {
  check_covariance(covariance, size, field);
  const auto n = static_cast<Eigen::Index>(size);
  const Eigen::LLT<Matrix> llt(Eigen::Map<const RowMajor>(covariance.data(), n, n));
  const Matrix lower = llt.matrixL();
  if (llt.info() != Eigen::Success || !lower.allFinite() || !(lower.diagonal().minCoeff() > 0))
    throw accounting::UnusableInput(field, "not positive definite", "a positive definite matrix");
  const Matrix inverse = lower.triangularView<Eigen::Lower>().solve(Matrix::Identity(n, n));
  const double count = static_cast<double>(size) * static_cast<double>(size) + 16;
  const double norm = lower.norm() * (1 + 2 * count * kUnit);
  const double approximate = inverse.norm() * (1 + 2 * count * kUnit);
  // With R = I - L X, |R| < 1: L^-1 = X (I - R)^-1, so |L^-1|_F <= |X|_F / (1 - |R|_F). R's own error is charged.
  const Matrix product = lower * inverse;
  const double off =
      (Matrix::Identity(n, n) - product).norm() * (1 + 2 * count * kUnit) +
      2 * (static_cast<double>(size) + 4) * kUnit * (norm * approximate + std::sqrt(static_cast<double>(size)));
  const double inverse_norm = approximate / (1 - off) * (1 + 4 * kUnit);
  if (!(off < 0.5) || !(norm * inverse_norm <= most_condition))
    throw accounting::UnusableInput(field, "a factor of condition " + text(norm * approximate),
                                    "condition |L|_F |L^-1|_F at most " + text(most_condition));
  Factor out{std::vector<double>(size * size), norm, inverse_norm};
  Eigen::Map<RowMajor>(out.lower.data(), n, n) = lower;
  return out;
}

}  // namespace dpflash::noise::structure
