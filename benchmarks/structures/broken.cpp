#include "broken.hpp"

#include <Eigen/Dense>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <functional>

namespace structures {

namespace {

using Eigen::Index;
using Eigen::MatrixXd;

constexpr double kAlpha = 1e-9;

class Normals {
 public:
  MatrixXd matrix(Index rows, Index columns) {
    std::vector<float> z(static_cast<std::size_t>(rows * columns));
    source_.normal(z, {0, 0, next_});
    next_ += z.size();
    return Eigen::Map<const Eigen::MatrixXf>(z.data(), rows, columns).cast<double>();
  }

 private:
  dpflash::noise::NoiseSource source_ =
      dpflash::noise::NoiseSource::reproducible(dpflash::noise::Generator::chacha12, 2);
  std::uint64_t next_ = 0;
};

/// Epsilon below which `hits` and `false_hits` of `trials` are not possible at `delta` (Clopper, Pearson).
double lower_bound(double hits, double false_hits, double trials, double delta) {
  if (hits == 0) return 0;
  const double p = boost::math::ibeta_inv(hits, trials - hits + 1, kAlpha) - delta;
  const double q = boost::math::ibetac_inv(false_hits + 1, trials - false_hits, kAlpha);
  return p <= q ? 0 : std::log(p / q);
}

MatrixXd sum_of(const Records& r, std::size_t begin, std::size_t end) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  MatrixXd sum = MatrixXd::Zero(static_cast<Index>(r.rows), static_cast<Index>(r.columns));
  for (std::size_t i = begin; i < end; ++i)
    sum += Eigen::Map<const Matrix>(r.held_private[i].data(), sum.rows(), sum.cols()).cast<double>();
  return sum;
}

struct Construction {
  std::string name;
  std::function<MatrixXd(Normals&)> noise;            ///< for a scale of 1
  std::function<bool(const MatrixXd&)> is_not_noise;  ///< of release minus the known sum, scale 1
};

std::vector<Construction> constructions(Index rows, Index columns) {
  const Index rank = std::max<Index>(1, rows * 3 / 10);
  const auto low_rank = [=](Normals& z) -> MatrixXd {
    return z.matrix(rows, rank) * z.matrix(rank, columns) / std::sqrt(static_cast<double>(rows));
  };
  const auto exceeds_rank = [=](const MatrixXd& y) {
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(y * y.transpose(), Eigen::EigenvaluesOnly);
    return solver.eigenvalues()[rows - 1 - rank] > 1e-12 * solver.eigenvalues()[rows - 1];
  };
  const auto sparse = [=](Normals& z) -> MatrixXd {
    // Seven of ten, by a public pattern.
    MatrixXd y = z.matrix(rows, columns);
    for (Index i = 0; i < y.size(); ++i)
      if (i % 10 >= 7) y.reshaped()[i] = 0;
    return y;
  };
  const auto seen_between = [](const MatrixXd& y) {
    double exact = 0;
    for (Index i = 0; i < y.size(); ++i)
      if (i % 10 >= 7) exact += std::abs(y.reshaped()[i]);
    return exact > 1e-9;
  };
  const Index noised = std::max<Index>(1, rows * 3 / 4);
  const auto blocks = [=](Normals& z) -> MatrixXd {
    MatrixXd y = z.matrix(rows, columns);
    y.bottomRows(rows - noised).setZero();
    return y;
  };
  const auto seen_below = [=](const MatrixXd& y) { return y.bottomRows(rows - noised).norm() > 1e-9; };
  return {{"V W^T of rank " + std::to_string(rank) + " on the whole sum", low_rank, exceeds_rank},
          {"noise on 70 % of the entries, the rest as it is", sparse, seen_between},
          {"noise on " + std::to_string(noised) + " of " + std::to_string(rows) + " rows, the rest as it is", blocks,
           seen_below}};
}

}  // namespace

std::vector<Broken> break_them(const Records& r, double multiplier, double delta, int trials) {
  const MatrixXd known = sum_of(r, 1, 65);
  const MatrixXd record = sum_of(r, 0, 1);
  const double scale = multiplier * record.norm();
  const double claimed = dpflash::noise::Calibration::gaussian_stated(dpflash::accounting::NoiseMultiplier(multiplier),
                                                                      dpflash::accounting::Delta(delta))
                             .epsilon()
                             .upper;
  std::vector<Broken> out;
  Normals normals;
  for (const Construction& c : constructions(known.rows(), known.cols())) {
    Broken row{.construction = c.name, .claimed = claimed, .trials = trials};
    double hits = 0;
    double false_hits = 0;
    for (int t = 0; t < trials; ++t)
      for (const bool with : {true, false}) {
        const MatrixXd noise = scale * c.noise(normals);
        row.noise += noise.squaredNorm() / (2.0 * trials) / (scale * scale * static_cast<double>(known.size()));
        const MatrixXd release = known + (with ? record : MatrixXd::Zero(known.rows(), known.cols())) + noise;
        (with ? hits : false_hits) += c.is_not_noise((release - known) / scale) ? 1 : 0;
      }
    row.errors = trials - hits + false_hits;
    row.at_least = lower_bound(hits, false_hits, trials, delta);
    out.push_back(row);
  }
  return out;
}

}  // namespace structures
