#include "dpflash/noise/subspace.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "dpflash/noise/source.hpp"
#include "structure/checks.hpp"

namespace dpflash::noise {

using namespace structure;

namespace {

using Matrix = Eigen::MatrixXd;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatRows = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

constexpr std::size_t kMostEntries = std::size_t{1} << 40;
constexpr std::size_t kPiece = 4096;

Eigen::Index index(std::size_t n) { return static_cast<Eigen::Index>(n); }

Matrix orthonormal(const Matrix& a) {
  const Eigen::HouseholderQR<Matrix> qr(a);
  return qr.householderQ() * Matrix::Identity(a.rows(), a.cols());
}

Matrix random_start(std::size_t rows, std::size_t columns, std::uint64_t seed) {
  std::vector<float> draws(rows * columns);
  NoiseSource::reproducible(Generator::philox, seed).normal(draws, {});
  return FloatRows(draws.data(), index(rows), index(columns)).cast<double>();
}

void check_search(std::span<const float> data, std::size_t rows, std::size_t samples, const SubspaceSearch& search) {
  check_dimension(rows, "rows");
  check_dimension(samples, "samples");
  if (rows > kMostEntries / samples)
    throw accounting::UnusableInput("rows", std::to_string(rows), "rows * samples at most 2^40");
  check_size(data.size(), rows * samples, "public_data");
  const std::size_t most = std::min(rows, samples);
  if (search.rank < 1 || search.rank > most)
    throw accounting::UnusableInput("rank", std::to_string(search.rank), "an integer in [1, min(rows, samples)]");
  if (search.power_steps > 8)
    throw accounting::UnusableInput("power_steps", std::to_string(search.power_steps), "an integer in [0, 8]");
  for (std::size_t i = 0; i < data.size(); ++i)
    if (!std::isfinite(data[i]))
      throw accounting::UnusableInput("public_data[" + std::to_string(i) + "]", text(data[i]), "a finite number");
}

}  // namespace

Subspace find_subspace(std::span<const float> public_data, std::size_t rows, std::size_t samples,
                       const SubspaceSearch& search) {
  check_search(public_data, rows, samples, search);
  const Matrix data = FloatRows(public_data.data(), index(rows), index(samples)).cast<double>();
  const std::size_t most = std::min(rows, samples);
  const std::size_t wide = search.oversample > most - search.rank ? most : search.rank + search.oversample;
  // Orthonormalised after every product: powers would round the small directions away.
  Matrix q = orthonormal(data * random_start(samples, wide, search.seed));
  for (unsigned step = 0; step < search.power_steps; ++step) {
    const Matrix back = orthonormal(data.transpose() * q);
    q = orthonormal(data * back);
  }
  const Matrix core = q.transpose() * data;
  const Eigen::JacobiSVD<Matrix, Eigen::HouseholderQRPreconditioner> svd(core,
                                                                         Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Matrix u = q * svd.matrixU().leftCols(index(search.rank));
  Subspace found;
  found.basis = {rows, search.rank, std::vector<float>(rows * search.rank)};
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t a = 0; a < search.rank; ++a)
      found.basis.values[i * search.rank + a] = static_cast<float>(u(index(i), index(a)));
  for (std::size_t a = 0; a < search.rank; ++a) found.singular_values.push_back(svd.singularValues()(index(a)));
  found.total_energy = data.squaredNorm();
  return found;
}

double distance_from_orthonormal(const Basis& basis) {
  check_dimension(basis.rank, "basis.rank");
  if (basis.rows < basis.rank || basis.rows > kMostEntries / basis.rank)
    throw accounting::UnusableInput("basis.rows", std::to_string(basis.rows),
                                    "at least rank, and rows * rank at most 2^40");
  check_size(basis.values.size(), basis.rows * basis.rank, "basis.values");
  // Products of floats are exact in double; each entry's sum errs by at most (additions) u |u_a| |u_b|, whatever the
  // order of adding, and the matrix of |u_a| |u_b| has Frobenius norm sum_a |u_a|^2.
  RowMajor gram = RowMajor::Zero(index(basis.rank), index(basis.rank));
  const FloatRows values(basis.values.data(), index(basis.rows), index(basis.rank));
  for (std::size_t begin = 0; begin < basis.rows; begin += kPiece) {
    const std::size_t n = std::min(kPiece, basis.rows - begin);
    const RowMajor piece = values.middleRows(index(begin), index(n)).cast<double>();
    gram += piece.transpose() * piece;
  }
  if (!gram.allFinite()) return kInfinity;
  const double additions = static_cast<double>(kPiece) + static_cast<double>(basis.rows / kPiece) + 16;
  const double slack = 2 * additions * kUnit * (1 + gram.trace());
  const double off = (gram - RowMajor::Identity(gram.rows(), gram.cols())).norm();
  return off * (1 + 2 * (static_cast<double>(basis.rank) * static_cast<double>(basis.rank) + 16) * kUnit) + slack;
}

}  // namespace dpflash::noise
