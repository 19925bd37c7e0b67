#include "measure.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <dpflash/noise/choose.hpp>
#include <dpflash/noise/mechanisms.hpp>
#include <dpflash/noise/sampling.hpp>
#include <functional>
#include <numeric>
#include <optional>
#include <span>

namespace structures {

namespace noise = dpflash::noise;
using dpflash::noise::Calibration;
using dpflash::noise::NoiseSource;

namespace {

using Vectors = std::vector<std::vector<float>>;
constexpr std::size_t kMostRank = 64;
constexpr double kSmallestWeight = 1e-2;  // of the largest: weights of 0 do not exist
constexpr double kRidge = 1e-3;           // of the largest eigenvalue

/// What the public records say.
struct Public {
  noise::PublicKnowledge knowledge;
  noise::Basis basis;              // leading directions, as many as choose keeps
  Eigen::MatrixXd row_covariance;  // square roots of the second moments
  Eigen::MatrixXd column_covariance;
};

double norm_of(std::span<const float> x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

/// Symmetric square root, small eigenvalues raised.
Eigen::MatrixXd root_of(const Eigen::MatrixXd& m, std::vector<double>& spectrum) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(m);
  const Eigen::VectorXd raised = solver.eigenvalues().cwiseMax(0).eval();
  spectrum.assign(raised.data(), raised.data() + raised.size());
  const Eigen::VectorXd roots = raised.cwiseMax(kRidge * raised.maxCoeff()).cwiseSqrt();
  const Eigen::MatrixXd root = solver.eigenvectors() * roots.asDiagonal() * solver.eigenvectors().transpose();
  return (root + root.transpose()) / 2;
}

/// Poisson batches: E s_i^2 = batch E x_i^2 + batch^2 (E x_i)^2.
void add_moments(const Records& r, double batch, noise::PublicKnowledge& k) {
  const auto n = static_cast<double>(r.declared_public.size());
  std::vector<double> mean(r.size(), 0.0);
  k.record.assign(r.size(), 0.0);
  for (const auto& x : r.declared_public)
    for (std::size_t i = 0; i < x.size(); ++i) {
      mean[i] += static_cast<double>(x[i]) / n;
      k.record[i] += static_cast<double>(x[i]) * static_cast<double>(x[i]) / n;
    }
  k.sum.resize(r.size());
  for (std::size_t i = 0; i < r.size(); ++i) k.sum[i] = batch * k.record[i] + batch * batch * mean[i] * mean[i];
}

void add_spectra(const Records& r, Public& p) {
  Eigen::MatrixXd rows = Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(r.rows), static_cast<Eigen::Index>(r.rows));
  Eigen::MatrixXd columns =
      Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(r.columns), static_cast<Eigen::Index>(r.columns));
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  for (const auto& x : r.declared_public) {
    const Eigen::MatrixXd m = Eigen::Map<const Matrix>(x.data(), rows.rows(), columns.rows()).cast<double>();
    rows += m * m.transpose();
    columns += m.transpose() * m;
  }
  rows /= static_cast<double>(r.declared_public.size());
  columns /= columns.trace();
  p.row_covariance = root_of(rows, p.knowledge.row_spectrum);
  p.column_covariance = root_of(columns, p.knowledge.column_spectrum);
}

void add_directions(const Records& r, double batch, Public& p) {
  const std::size_t samples = r.declared_public.size();
  std::vector<float> data(r.size() * samples);
  for (std::size_t s = 0; s < samples; ++s)
    for (std::size_t i = 0; i < r.size(); ++i) data[i * samples + s] = r.declared_public[s][i];
  const std::size_t rank = std::min({kMostRank, r.size(), samples});
  p.basis = noise::find_subspace(data, r.size(), samples, {.rank = rank}).basis;
  for (std::size_t a = 0; a < rank; ++a) {
    double squares = 0;
    double mean = 0;
    for (const auto& x : r.declared_public) {
      double along = 0;
      for (std::size_t i = 0; i < r.size(); ++i)
        along += static_cast<double>(p.basis.values[i * rank + a]) * static_cast<double>(x[i]);
      squares += along * along / static_cast<double>(samples);
      mean += along / static_cast<double>(samples);
    }
    p.knowledge.directions.push_back(batch * squares + batch * batch * mean * mean);
  }
}

/// The mask of the largest public moments whose noise and bias together are least, by choose's formula.
void add_mask(const Setting& s, double multiplier, noise::PublicKnowledge& k) {
  std::vector<std::size_t> order(k.record.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return k.record[a] > k.record[b]; });
  double bias = std::accumulate(k.sum.begin(), k.sum.end(), 0.0);
  double energy = 0;
  double least = HUGE_VAL;
  std::size_t best = 0;
  for (std::size_t kept = 1; kept <= order.size(); ++kept) {
    energy += k.record[order[kept - 1]];
    bias -= k.sum[order[kept - 1]];
    const double total = static_cast<double>(kept) * std::pow(multiplier * s.headroom, 2) * energy + bias;
    if (total < least) {
      least = total;
      best = kept;
    }
  }
  k.mask.assign(order.size(), 0);
  for (std::size_t j = 0; j < best; ++j) k.mask[order[j]] = 1;
}

/// The energies are of any order; the basis keeps the directions of the largest.
noise::Basis leading(const Public& p, std::size_t rank) {
  std::vector<std::size_t> order(p.basis.rank);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto& energy = p.knowledge.directions;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return energy[a] > energy[b]; });
  noise::Basis basis{p.basis.rows, rank, std::vector<float>(p.basis.rows * rank)};
  for (std::size_t i = 0; i < basis.rows; ++i)
    for (std::size_t a = 0; a < rank; ++a) basis.values[i * rank + a] = p.basis.values[i * p.basis.rank + order[a]];
  return basis;
}

double root_mean_square(const Vectors& records, const std::function<double(std::span<const float>)>& norm) {
  double sum = 0;
  for (const auto& x : records) sum += std::pow(norm(x), 2);
  return std::sqrt(sum / static_cast<double>(records.size()));
}

/// Releases Poisson batches of private records and compares. `without_noise` is what the structure makes of a sum.
template <class Mechanism>
Row run(const Records& r, const Setting& s, const Mechanism& m, std::string name,
        const std::function<void(std::span<float>)>& without_noise) {
  Row row{.structure = std::move(name)};
  row.noise = m.expected_squared_error();
  Vectors clipped = r.held_private;
  double count = 0;
  for (std::size_t i = 0; i < clipped.size(); ++i) {
    without_noise(clipped[i]);
    const std::vector<float> before = clipped[i];
    clipped[i] = r.held_private[i];
    m.clip(clipped[i]);
    std::vector<float> after = clipped[i];
    without_noise(after);
    count += norm_of(after) < 0.999 * norm_of(before) ? 1 : 0;
  }
  row.clipped = count / static_cast<double>(clipped.size());
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 1);
  const dpflash::accounting::SamplingRate rate(s.batch / static_cast<double>(clipped.size()));
  for (int t = 0; t < s.batches; ++t) {
    const auto step = static_cast<std::uint32_t>(t);
    std::vector<double> exact(r.size(), 0.0);
    std::vector<float> sum(r.size(), 0.0f);
    for (const std::uint64_t b : noise::poisson_batch(source, {0, step, 0}, clipped.size(), rate))
      for (std::size_t i = 0; i < r.size(); ++i) {
        exact[i] += static_cast<double>(r.held_private[b][i]);
        sum[i] += clipped[b][i];
      }
    std::vector<float> plain = sum;
    without_noise(plain);
    m.privatise(sum, source, {1, step, 0});
    for (std::size_t i = 0; i < r.size(); ++i) {
      row.measured_noise += std::pow(static_cast<double>(sum[i]) - static_cast<double>(plain[i]), 2) / s.batches;
      row.error += std::pow(static_cast<double>(sum[i]) - exact[i], 2) / s.batches;
      row.of_sum += exact[i] * exact[i] / s.batches;
    }
  }
  return row;
}

void nothing(std::span<float>) {}

Row run_weighted(const Records& r, const Setting& s, const Public& p, const Calibration& calibration) {
  std::vector<float> weights(r.size());
  const double largest = std::pow(*std::max_element(p.knowledge.record.begin(), p.knowledge.record.end()), 0.25);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = static_cast<float>(std::max(std::pow(p.knowledge.record[i], 0.25), kSmallestWeight * largest));
  const double norm = root_mean_square(r.declared_public, [&](std::span<const float> x) {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(static_cast<double>(x[i] / weights[i]), 2);
    return std::sqrt(sum);
  });
  return run(r, s, noise::Weighted(weights, s.headroom * norm, calibration), "weighted", nothing);
}

Row run_blocks(const Records& r, const Setting& s, const Public& p, const Calibration& calibration) {
  std::vector<noise::Block> blocks;
  std::size_t begin = 0;
  for (const std::size_t size : r.blocks) {
    const auto at = p.knowledge.record.begin() + static_cast<std::ptrdiff_t>(begin);
    const double energy = std::accumulate(at, at + static_cast<std::ptrdiff_t>(size), 0.0);
    blocks.push_back({size, s.headroom * std::sqrt(energy)});
    begin += size;
  }
  return run(r, s, noise::BlockDiagonal(blocks, noise::Allocation::least_error, calibration), "block-diagonal",
             nothing);
}

Row run_sparse(const Records& r, const Setting& s, const Public& p, const Calibration& calibration) {
  const auto drop = [&](std::span<float> x) {
    for (std::size_t i = 0; i < x.size(); ++i)
      if (p.knowledge.mask[i] == 0) x[i] = 0;
  };
  const double norm = root_mean_square(r.declared_public, [&](std::span<const float> x) {
    std::vector<float> kept(x.begin(), x.end());
    drop(kept);
    return norm_of(kept);
  });
  const noise::Sparse m(noise::Mask::of_bits(p.knowledge.mask), s.headroom * norm, calibration);
  return run(r, s, m, "sparse, " + std::to_string(m.draws()) + " of " + std::to_string(r.size()), drop);
}

Row run_matrix(const Records& r, const Setting& s, const Public& p, const Calibration& calibration) {
  const std::span<const double> rows(p.row_covariance.data(), r.rows * r.rows);
  const std::span<const double> columns(p.column_covariance.data(), r.columns * r.columns);
  const noise::MatrixVariate unit(rows, r.rows, columns, r.columns, 1.0, calibration);
  const double norm =
      root_mean_square(r.declared_public, [&](std::span<const float> x) { return unit.whitened_norm(x); });
  return run(r, s, noise::MatrixVariate(rows, r.rows, columns, r.columns, s.headroom * norm, calibration),
             "matrix-variate", nothing);
}

/// choose's ratio of the structure, and the rank that it keeps.
const noise::Ranked& ranked(const std::vector<noise::Ranked>& table, const std::string& structure) {
  return *std::find_if(table.begin(), table.end(),
                       [&](const noise::Ranked& row) { return row.structure == structure; });
}

}  // namespace

std::vector<Row> measure(const Records& r, const Setting& s, const Calibration& calibration) {
  Public p;
  add_moments(r, s.batch, p.knowledge);
  add_directions(r, s.batch, p);
  add_mask(s, calibration.noise_multiplier(), p.knowledge);
  p.knowledge.blocks = r.blocks;
  if (r.columns > 1) add_spectra(r, p);
  const std::vector<noise::Ranked> table = noise::choose(p.knowledge, s.headroom, calibration);

  const double norm = s.headroom * root_mean_square(r.declared_public, norm_of);
  std::vector<Row> rows{run(r, s, noise::Isotropic(r.size(), norm, calibration), "isotropic", nothing)};
  rows.push_back(run_weighted(r, s, p, calibration));
  rows.push_back(run_blocks(r, s, p, calibration));
  rows.push_back(run_sparse(r, s, p, calibration));
  const std::size_t rank = ranked(table, "low-rank").rank;
  const noise::LowRank low(leading(p, rank), 1, norm, calibration);
  rows.push_back(run(r, s, low, "low-rank, " + std::to_string(rank), [&](std::span<float> x) {
    std::vector<float> inside(rank);
    low.project(x, inside);
    low.lift(inside, x);
  }));
  if (r.columns > 1) rows.push_back(run_matrix(r, s, p, calibration));
  const Row baseline = rows.front();
  for (Row& row : rows) {
    row.expected = ranked(table, row.structure.substr(0, row.structure.find(','))).ratio;
    row.noise /= baseline.noise;
    row.measured_noise /= baseline.noise;
    row.error_ratio = row.error / baseline.error;
    row.of_sum = row.error / row.of_sum;
  }
  return rows;
}

}  // namespace structures
