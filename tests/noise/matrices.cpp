// Low-rank and matrix-variate mechanisms, and the search for public subspaces.
#include <Eigen/Dense>
#include <dpflash/accounting/error.hpp>
#include <limits>
#include <numeric>

#include "mechanism_cases.hpp"

using namespace dpflash;
using accounting::UnusableInput;
using noise::Basis;
using noise::LowRank;
using noise::MatrixVariate;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Index at(std::size_t i) { return static_cast<Eigen::Index>(i); }

Basis random_basis(std::size_t rows, std::size_t rank, double stretch = 1) {
  std::mt19937_64 random(21);
  std::normal_distribution<double> normal(0, 1);
  Matrix a(rows, rank);
  for (Eigen::Index i = 0; i < a.size(); ++i) a.data()[i] = normal(random);
  const Matrix q = Eigen::HouseholderQR<Matrix>(a).householderQ() * Matrix::Identity(a.rows(), a.cols());
  Basis basis{rows, rank, std::vector<float>(rows * rank)};
  for (std::size_t i = 0; i < basis.values.size(); ++i)
    basis.values[i] = static_cast<float>(q.data()[i] * (i % rank == 0 ? stretch : 1));
  return basis;
}

Matrix matrix_of(std::span<const float> x, std::size_t rows, std::size_t columns) {
  Matrix out(rows, columns);
  for (std::size_t i = 0; i < x.size(); ++i) out.data()[i] = x[i];
  return out;
}

/// rows x rows, positive definite, eigenvalues from 1 to `condition`.
std::vector<double> covariance(std::size_t n, double condition) {
  const Basis q = random_basis(n, n);
  const Matrix u = Eigen::HouseholderQR<Matrix>(matrix_of(q.values, n, n)).householderQ();
  Eigen::VectorXd values(n);
  for (std::size_t i = 0; i < n; ++i)
    values(at(i)) = n == 1 ? condition : std::pow(condition, static_cast<double>(i) / static_cast<double>(n - 1));
  Matrix product = u * values.asDiagonal() * u.transpose();
  product = (0.5 * (product + product.transpose())).eval();
  return {product.data(), product.data() + product.size()};
}

/// |U^T x| / scale for the float basis, in double.
double projected_length(const LowRank& m, std::span<const float> x) {
  const Matrix u = matrix_of(m.basis().values, m.rows(), m.rank());
  return (u.transpose() * matrix_of(x, m.rows(), m.columns())).norm() / static_cast<double>(m.scale());
}

/// The mechanism with clip() that first turns a contribution into the subspace, where mu is reached.
struct Within {
  const LowRank& m;
  [[nodiscard]] std::size_t size() const { return m.size(); }
  void clip(std::span<float> x) const {
    std::vector<float> y(m.draws());
    std::vector<float> inside(m.size());
    m.project(x, y);
    m.lift(y, inside);
    if (std::all_of(inside.begin(), inside.end(), [](float v) { return std::isfinite(v); }))
      std::copy(inside.begin(), inside.end(), x.begin());
    m.clip(x);
  }
};

}  // namespace

TEST_CASE("low-rank: covariance, mu, error") {
  const LowRank m(random_basis(9, 3), 1, 0.8, cases::gaussian());
  CHECK(m.basis_norm() >= 1);
  CHECK(m.basis_norm() < 1 + 1e-6);
  CHECK(m.mu() <= 0.8 * (1 + 1e-15));
  const auto length = [&](auto x) { return projected_length(m, x); };
  cases::check_mu(Within{m}, m.mu(), length);
  cases::check_covariance(m, m.covariance());
  const auto all = m.covariance();
  double trace = 0;
  for (std::size_t i = 0; i < 9; ++i) trace += all[i * 9 + i];
  CHECK(m.expected_squared_error() == doctest::Approx(trace).epsilon(1e-12));
  cases::check_clip_edges(m, 1e-3f);
  cases::check_release(m);
}

TEST_CASE("low-rank: a basis that is a little too long is charged, one that is much too long refused") {
  const LowRank exact(random_basis(20, 4), 2, 1, cases::gaussian());
  const LowRank stretched(random_basis(20, 4, 1.0003), 2, 1, cases::gaussian());
  CHECK(stretched.scale() > exact.scale());
  CHECK(stretched.basis_norm() >= 1.0003 * (1 - 1e-7));
  // the direction that is too long
  std::vector<float> x(stretched.size(), 0.0f);
  for (std::size_t i = 0; i < 20; ++i) x[i * 2] = 10 * stretched.basis().values[i * 4];
  stretched.clip(x);
  const double reached = projected_length(stretched, x);
  CHECK(reached <= 0.8);
  CHECK(reached >= 0.999 * stretched.mu());
  CHECK_THROWS_AS(LowRank(random_basis(20, 4, 1.001), 2, 1, cases::gaussian()), UnusableInput);
  CHECK_THROWS_AS(LowRank(random_basis(20, 4, 0.5), 2, 1, cases::gaussian()), UnusableInput);
  CHECK_THROWS_AS(LowRank(random_basis(20, 4, kNaN), 2, 1, cases::gaussian()), UnusableInput);
}

TEST_CASE("low-rank: matrices, draws in row-major order of Y, nothing outside the subspace") {
  const std::size_t rows = 31;
  const std::size_t columns = 17;
  const LowRank m(random_basis(rows, 5), columns, 1, cases::gaussian());
  std::mt19937_64 random(4);
  const std::vector<float> sum = cases::random_vector(m.size(), random);
  std::vector<float> released = sum;
  auto noise = cases::source();
  m.privatise(released, noise, {1, 2, 3});
  std::vector<float> z(m.draws());
  cases::source().normal(z, {1, 2, 3});
  const Matrix u = matrix_of(m.basis().values, rows, 5);
  const Matrix expected =
      u * (u.transpose() * matrix_of(sum, rows, columns) + static_cast<double>(m.scale()) * matrix_of(z, 5, columns));
  CHECK((matrix_of(released, rows, columns) - expected).norm() <= 1e-5 * expected.norm());
  const Matrix left = matrix_of(released, rows, columns) - u * (u.transpose() * matrix_of(released, rows, columns));
  CHECK(left.norm() <= 1e-5 * expected.norm());
}

TEST_CASE("low-rank: many columns in threads give what few give") {
  const std::size_t rows = 64;
  const std::size_t columns = 3001;
  const LowRank m(random_basis(rows, 3), columns, 1, cases::gaussian());
  const LowRank one(random_basis(rows, 3), 1, 1, cases::gaussian());
  std::mt19937_64 random(6);
  const std::vector<float> sum = cases::random_vector(m.size(), random);
  std::vector<float> y(m.draws());
  m.project(sum, y);
  std::vector<float> back(m.size());
  m.lift(y, back);
  for (const std::size_t j : {std::size_t{0}, std::size_t{1499}, columns - 1}) {
    std::vector<float> column(rows);
    for (std::size_t i = 0; i < rows; ++i) column[i] = sum[i * columns + j];
    std::vector<float> part(3);
    one.project(column, part);
    for (std::size_t a = 0; a < 3; ++a) CHECK(part[a] == y[a * columns + j]);
    one.lift(part, column);
    for (std::size_t i = 0; i < rows; ++i) CHECK(column[i] == back[i * columns + j]);
  }
}

TEST_CASE("low-rank: refusals") {
  const auto c = cases::gaussian();
  CHECK_THROWS_AS(LowRank({}, 1, 1, c), UnusableInput);
  CHECK_THROWS_AS(LowRank({2, 3, std::vector<float>(6)}, 1, 1, c), UnusableInput);
  CHECK_THROWS_AS(LowRank({4, 2, std::vector<float>(7)}, 1, 1, c), UnusableInput);
  CHECK_THROWS_AS(LowRank(random_basis(4, 2), 0, 1, c), UnusableInput);
  CHECK_THROWS_AS(LowRank(random_basis(4, 2), std::size_t{1} << 50, 1, c), UnusableInput);
  CHECK_THROWS_AS(LowRank(random_basis(4, 2), 1, kNaN, c), UnusableInput);
  CHECK_THROWS_AS(LowRank(random_basis(4, 2), 1, 1, cases::laplace()), UnusableInput);
  const LowRank large(random_basis(4097, 1), 1, 1, c);
  CHECK_THROWS_AS((void)large.covariance(), UnusableInput);
}

TEST_CASE("the search finds the leading subspace, and gives an orthonormal basis whatever the data") {
  const std::size_t rows = 40;
  const std::size_t samples = 25;
  const Basis truth = random_basis(rows, 4);
  std::mt19937_64 random(9);
  const Matrix left = matrix_of(truth.values, rows, 4);
  const Matrix right = matrix_of(cases::random_vector(4 * samples, random), 4, samples);
  const Matrix noise = matrix_of(cases::random_vector(rows * samples, random, 1e-3), rows, samples);
  const Matrix full = left * right + noise;
  std::vector<float> data(rows * samples);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(full.data()[i]);
  const auto found = noise::find_subspace(data, rows, samples, {.rank = 4, .seed = 5});
  CHECK(noise::distance_from_orthonormal(found.basis) < 1e-6);
  const Matrix u = matrix_of(found.basis.values, rows, 4);
  CHECK((u.transpose() * left).norm() == doctest::Approx(2).epsilon(1e-4));  // all four directions
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(full);
  for (std::size_t a = 0; a < 4; ++a)
    CHECK(found.singular_values[a] == doctest::Approx(svd.singularValues()(at(a))).epsilon(1e-5));
  CHECK(found.total_energy == doctest::Approx(full.squaredNorm()).epsilon(1e-5));
  CHECK(noise::find_subspace(data, rows, samples, {.rank = 4, .seed = 5}).basis.values == found.basis.values);
  for (const float value : {0.0f, 1.0f, 3e38f}) {  // degenerate data
    const std::vector<float> constant(rows * samples, value);
    const auto odd = noise::find_subspace(constant, rows, samples, {.rank = 25});
    CHECK(noise::distance_from_orthonormal(odd.basis) < 1e-5);
  }
  CHECK_THROWS_AS(noise::find_subspace(data, rows, samples, {.rank = 0}), UnusableInput);
  CHECK_THROWS_AS(noise::find_subspace(data, rows, samples, {.rank = 26}), UnusableInput);
  CHECK_THROWS_AS(noise::find_subspace(data, rows, samples, {.rank = 1, .power_steps = 9}), UnusableInput);
  CHECK_THROWS_AS(noise::find_subspace(data, rows, samples + 1, {.rank = 1}), UnusableInput);
  data[7] = std::nanf("");
  CHECK_THROWS_AS(noise::find_subspace(data, rows, samples, {.rank = 1}), UnusableInput);
}

TEST_CASE("matrix-variate: covariance, mu, error") {
  for (const double condition : {1.0, 30.0, 1e4}) {
    const MatrixVariate m(covariance(3, condition), 3, covariance(4, condition), 4, 0.6, cases::gaussian());
    CHECK(m.mu() <= 0.8 * (1 + 1e-15));
    const Matrix all = Eigen::Map<const Matrix>(m.covariance().data(), 12, 12);
    const Eigen::LLT<Eigen::MatrixXd> llt(all);
    // the whole covariance's own whitening, not the mechanism's
    cases::check_mu(m, m.mu() * (1 + 1e-9),
                    [&](auto x) { return llt.matrixL().solve(Eigen::VectorXd(matrix_of(x, 12, 1))).norm(); });
    cases::check_covariance(m, m.covariance());
    CHECK(m.expected_squared_error() == doctest::Approx(all.trace()).epsilon(1e-10));
    cases::check_clip_edges(m, 1e-6f);
    cases::check_release(m);
  }
}

TEST_CASE("matrix-variate: the factors are of the covariances that were given") {
  const auto row = covariance(5, 100);
  const auto column = covariance(2, 7);
  const MatrixVariate m(row, 5, column, 2, 1, cases::gaussian());
  const Matrix a = Eigen::Map<const Matrix>(m.row_factor().data(), 5, 5);
  const Matrix b = Eigen::Map<const Matrix>(m.column_factor().data(), 2, 2);
  CHECK((a * a.transpose() - Eigen::Map<const Matrix>(row.data(), 5, 5)).norm() < 1e-11);
  CHECK((b * b.transpose() - Eigen::Map<const Matrix>(column.data(), 2, 2)).norm() < 1e-12);
  std::mt19937_64 random(7);
  const auto x = cases::random_vector(10, random);
  const Matrix white = a.inverse() * matrix_of(x, 5, 2) * b.inverse().transpose();
  CHECK(m.whitened_norm(x) >= white.norm() * (1 - 1e-12));
  CHECK(m.whitened_norm(x) <= white.norm() * (1 + 1e-9));
}

TEST_CASE("matrix-variate: identity covariances and odd sizes are isotropic") {
  const std::vector<double> one{1.0};
  const MatrixVariate m(one, 1, one, 1, 2, cases::gaussian());
  CHECK(m.scale() == noise::Isotropic(1, 2, cases::gaussian()).scale());
  cases::check_release(m);
}

TEST_CASE("matrix-variate: refusals") {
  const auto c = cases::gaussian();
  const std::vector<double> eye{1, 0, 0, 1};
  const auto refuse = [&](std::vector<double> row) {
    CHECK_THROWS_AS(MatrixVariate(row, 2, eye, 2, 1, c), UnusableInput);
    CHECK_THROWS_AS(MatrixVariate(eye, 2, row, 2, 1, c), UnusableInput);
  };
  refuse({});
  refuse({1, 0, 0});
  refuse({1, 2, 2, 1});  // indefinite
  refuse({1, 1, 1, 1});  // singular
  refuse({0, 0, 0, 0});
  refuse({1, 0.5, 0.4, 1});  // not symmetric
  refuse({1, kNaN, kNaN, 1});
  refuse({1, 0, 0, HUGE_VAL});
  refuse({1, 0, 0, 1e-13});  // condition above 1e6
  CHECK_THROWS_AS(MatrixVariate(eye, 2, eye, 2, 0, c), UnusableInput);
  CHECK_THROWS_AS(MatrixVariate(eye, 2, eye, 2, 1, cases::laplace()), UnusableInput);
  CHECK_THROWS_AS(MatrixVariate({}, 0, eye, 2, 1, c), UnusableInput);
}
