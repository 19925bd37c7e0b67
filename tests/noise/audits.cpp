// Empirical lower bounds of every mechanism's epsilon, on its worst neighbours, against what its calibration certifies.
// Seeds are fixed; a bound is wrong with probability 2e-9, all of them together with 1e-7.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dpflash/noise/adaptive_clipping.hpp"
#include "dpflash/noise/discrete.hpp"
#include "dpflash/noise/grid.hpp"
#include "dpflash/noise/mechanisms.hpp"
#include "dpflash/noise/private_gradient.hpp"
#include "dpflash/noise/sampling.hpp"
#include "statistics.hpp"

using namespace dpflash;
using accounting::Delta;
using accounting::NoiseMultiplier;
using noise::Calibration;
using noise::NoiseSource;
using noise::Releases;

namespace {

/// Of each of a bound's two confidence intervals.
constexpr double kAlpha = 1e-9;
/// Large enough for 1e5 trials to see the events that spend it.
constexpr double kDelta = 0.01;
constexpr int kTrials = 250000;

struct Bounds {
  double add = 0;
  double remove = 0;
};

/// `ratio(with, trial)` releases once and returns the log-likelihood ratio of "with the record" over "without". The
/// events are ratio > threshold and ratio < -remove_threshold (by default the same), the best ones for (threshold,
/// delta) by Neyman and Pearson, and fixed before anything is drawn.
template <class Ratio>
Bounds lower_bounds(double threshold, double delta, int trials, const Ratio& ratio, double remove_threshold = 0) {
  if (remove_threshold == 0) remove_threshold = threshold;
  double with_high = 0;
  double with_low = 0;
  double without_high = 0;
  double without_low = 0;
  for (int trial = 0; trial < trials; ++trial) {
    const double with = ratio(true, trial);
    const double without = ratio(false, trial);
    with_high += with > threshold ? 1 : 0;
    with_low += with < -remove_threshold ? 1 : 0;
    without_high += without > threshold ? 1 : 0;
    without_low += without < -remove_threshold ? 1 : 0;
  }
  return {test::epsilon_lower_bound(with_high, without_high, trials, delta, kAlpha),
          test::epsilon_lower_bound(without_low, with_low, trials, delta, kAlpha)};
}

/// The bounds stay below the certificate, and above `share` of it: the audit would see a much smaller noise.
void check_bounds(const std::string& name, const Bounds& bounds, double certified, double share = 0.7,
                  double share_of_remove = 0) {
  MESSAGE(name << ": certified " << certified << ", lower bounds " << bounds.add << " (add), " << bounds.remove
               << " (remove)");
  CHECK(bounds.add <= certified);
  CHECK(bounds.remove <= certified);
  CHECK(bounds.add >= share * certified);
  CHECK(bounds.remove >= (share_of_remove == 0 ? share : share_of_remove) * certified);
}

Calibration gaussian(double noise = 1.0, const Releases& releases = {}) {
  return Calibration::gaussian_stated(NoiseMultiplier(noise), Delta(kDelta), releases);
}

double dot(std::span<const double> w, std::span<const float> y) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) sum += w[i] * static_cast<double>(y[i]);
  return sum;
}

/// `contribution` scaled up until `clip` binds, and clipped.
template <class Mechanism>
std::vector<float> worst(const Mechanism& mechanism, std::vector<float> contribution) {
  for (float& value : contribution) value *= 1e6f;
  mechanism.clip(contribution);
  return contribution;
}

/// Gaussian noise of covariance S: the ratio is w y - w Delta / 2, w = S^-1 Delta.
template <class Mechanism>
Bounds audit_gaussian(const Mechanism& m, std::span<const float> delta, std::span<const double> w, double threshold,
                      std::uint64_t seed) {
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, seed);
  const double squared = dot(w, delta);
  CHECK(std::sqrt(squared) >= 0.999 * m.mu());
  std::vector<float> y(m.size());
  return lower_bounds(threshold, kDelta, kTrials, [&](bool with, int trial) {
    if (with)
      std::copy(delta.begin(), delta.end(), y.begin());
    else
      std::fill(y.begin(), y.end(), 0.0f);
    m.privatise(y, source, {with ? 1u : 0u, 0, static_cast<std::uint64_t>(trial) * m.draws()});
    return dot(w, y) - squared / 2;
  });
}

template <class Mechanism>
void audit(const std::string& name, const Mechanism& m, std::vector<float> direction, std::uint64_t seed) {
  const std::vector<float> delta = worst(m, std::move(direction));
  std::vector<double> w(delta.size(), 0.0);
  for (std::size_t i = 0; i < w.size(); ++i)
    if (m.variance(i) > 0) w[i] = static_cast<double>(delta[i]) / m.variance(i);
  const double certified = m.calibration().epsilon().upper;
  check_bounds(name, audit_gaussian(m, delta, w, certified, seed), certified);
}

/// Isotropic::variance takes no index.
struct IndexedIsotropic : noise::Isotropic {
  using Isotropic::Isotropic;
  [[nodiscard]] double variance(std::size_t) const { return Isotropic::variance(); }
};

}  // namespace

TEST_CASE("isotropic, sparse, block-diagonal and weighted noise cost what they certify") {
  audit("isotropic", IndexedIsotropic(5, 2.0, gaussian()), {1, -2, 3, 0.5f, 1}, 401);
  const std::array<std::uint64_t, 2> kept{1, 4};
  audit("sparse", noise::Sparse(noise::Mask::of_indices(6, kept), 0.5, gaussian()), {0, 1, 0, 0, -1, 0}, 402);
  const std::array<noise::Block, 2> blocks{{{2, 1.0}, {3, 0.25}}};
  for (const auto allocation :
       {noise::Allocation::least_error, noise::Allocation::same_scale, noise::Allocation::same_share})
    audit("block-diagonal", noise::BlockDiagonal(blocks, allocation, gaussian()), {1, 1, 1, -1, 1}, 403);
  const std::array<float, 4> weights{0.1f, 1.0f, 3.0f, 0.5f};
  audit("weighted", noise::Weighted(weights, 1.5, gaussian()), {0.2f, 1, -2, 1}, 404);
}

TEST_CASE("low-rank and matrix-variate noise cost what they certify") {
  // Columns of length 1, orthogonal, exact in floats.
  const noise::Basis basis{4, 2, {0.5f, 0.5f, 0.5f, -0.5f, 0.5f, 0.5f, 0.5f, -0.5f}};
  const noise::LowRank low(basis, 2, 1.0, gaussian());
  const std::vector<float> inside = worst(low, {1, 0, 0, 0, 1, 0, 0, 0});
  std::vector<double> w(8, 0.0);
  std::vector<float> lifted(8);
  std::vector<float> subspace(4);
  low.project(inside, subspace);
  low.lift(subspace, lifted);
  const double variance = static_cast<double>(low.scale()) * static_cast<double>(low.scale());
  for (std::size_t i = 0; i < 8; ++i) w[i] = static_cast<double>(lifted[i]) / variance;
  const double certified = low.calibration().epsilon().upper;
  check_bounds("low-rank", audit_gaussian(low, inside, w, certified, 411), certified);

  const std::vector<double> rows{2.0, 0.7, 0.7, 1.0};
  const std::vector<double> columns{1.0, -0.3, 0.1, -0.3, 0.5, 0.2, 0.1, 0.2, 3.0};
  const noise::MatrixVariate matrix(rows, 2, columns, 3, 1.0, gaussian());
  const std::vector<float> delta = worst(matrix, {1, -1, 0.3f, 0.2f, 1, -2});
  const std::vector<double> covariance = matrix.covariance();
  const Eigen::Map<const Eigen::Matrix<double, 6, 6>> s(covariance.data());
  const Eigen::Matrix<double, 6, 1> solved =
      s.ldlt().solve(Eigen::Map<const Eigen::Matrix<float, 6, 1>>(delta.data()).cast<double>());
  const std::span<const double> solution(solved.data(), 6);
  check_bounds("matrix-variate", audit_gaussian(matrix, delta, solution, certified, 412), certified);
}

TEST_CASE("exchanging a record costs what replace-one certifies") {
  const noise::Isotropic m(3, 1.0, gaussian(2.0, {.adjacency = accounting::Adjacency::replace_one}));
  const std::vector<float> x = worst(m, {1, 2, -2});
  const double certified = m.calibration().epsilon().upper;
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 421);
  const Bounds bounds = lower_bounds(certified, kDelta, kTrials, [&](bool with, int trial) {
    std::vector<float> y = x;
    if (!with) std::transform(y.begin(), y.end(), y.begin(), [](float value) { return -value; });
    m.privatise(y, source, {with ? 1u : 0u, 0, static_cast<std::uint64_t>(trial) * 3});
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i) sum += static_cast<double>(y[i]) * static_cast<double>(x[i]);
    return 2 * sum / m.variance();
  });
  check_bounds("replace-one", bounds, certified);
}

TEST_CASE("Laplace noise costs what it certifies") {
  const noise::Laplace m(3, 1.0, Calibration::laplace_stated(NoiseMultiplier(0.8), Delta(kDelta)));
  const std::vector<float> delta = worst(m, {0, -1, 0});
  const double certified = m.calibration().epsilon().upper;
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 431);
  const Bounds bounds = lower_bounds(certified, kDelta, kTrials, [&](bool with, int trial) {
    std::vector<float> y = with ? delta : std::vector<float>(3, 0.0f);
    m.privatise(y, source, {with ? 1u : 0u, 0, static_cast<std::uint64_t>(trial) * 3});
    double ratio = 0;
    for (std::size_t i = 0; i < 3; ++i)
      ratio +=
          std::abs(static_cast<double>(y[i])) - std::abs(static_cast<double>(y[i]) - static_cast<double>(delta[i]));
    return ratio / static_cast<double>(m.scale());
  });
  check_bounds("Laplace", bounds, certified);
}

TEST_CASE("integer noise costs no more than it certifies") {
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 441);
  const noise::DiscreteGaussian gauss(2, 3, Calibration::discrete_gaussian_stated(NoiseMultiplier(1.0), Delta(kDelta)));
  const double variance =
      static_cast<double>(gauss.sigma_squared().numerator) / static_cast<double>(gauss.sigma_squared().denominator);
  // Its certificate is Renyi's, which is wider than the law: the event is the continuous Gaussian's best.
  const Bounds of_gauss = lower_bounds(gaussian().epsilon().upper, kDelta, kTrials, [&](bool with, int trial) {
    std::array<std::int64_t, 2> y{with ? 3 : 0, 0};
    gauss.privatise(y, source, {with ? 1u : 0u, 0, static_cast<std::uint64_t>(trial) * 2});
    return (6 * static_cast<double>(y[0]) - 9) / (2 * variance);
  });
  check_bounds("discrete Gaussian", of_gauss, gauss.calibration().epsilon().upper, 0.6);

  const noise::DiscreteLaplace laplace(2, 2, Calibration::discrete_laplace_stated(NoiseMultiplier(0.8), Delta(1e-9)));
  const double scale =
      static_cast<double>(laplace.scale().numerator) / static_cast<double>(laplace.scale().denominator);
  const double certified = laplace.calibration().epsilon().upper;
  const Bounds of_laplace = lower_bounds(0.999 * certified, 1e-9, kTrials, [&](bool with, int trial) {
    std::array<std::int64_t, 2> y{0, with ? -2 : 0};
    laplace.privatise(y, source, {with ? 3u : 2u, 0, static_cast<std::uint64_t>(trial) * 2});
    return (std::abs(static_cast<double>(y[1])) - std::abs(static_cast<double>(y[1]) + 2)) / scale;
  });
  check_bounds("discrete Laplace", of_laplace, certified, 0.9);
}

TEST_CASE("the grid costs what it certifies, its charge included") {
  const noise::GridMechanism m(3, 1.0, gaussian());
  std::vector<std::int64_t> delta(3);
  m.to_grid(std::vector<float>{1e6f, -1e6f, 2e6f}, delta);
  double squared = 0;
  for (const std::int64_t k : delta) squared += static_cast<double>(k) * static_cast<double>(k);
  const double variance = std::ldexp(1.0, 2 * m.bits());
  CHECK(std::sqrt(squared / variance) >= 0.999 * m.mu());
  const double certified = m.guarantee().epsilon;
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 451);
  const Bounds bounds = lower_bounds(certified, m.guarantee().delta, kTrials, [&](bool with, int trial) {
    std::vector<std::int64_t> y = with ? delta : std::vector<std::int64_t>(3, 0);
    m.privatise(y, source, {with ? 1u : 0u, 0, static_cast<std::uint64_t>(trial) * 3});
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i) sum += static_cast<double>(y[i]) * static_cast<double>(delta[i]);
    return (sum - squared / 2) / variance;
  });
  check_bounds("grid", bounds, certified);
}

TEST_CASE("steps of DP-SGD on Poisson batches cost what they certify") {
  // Four records without a gradient, and perhaps a fifth, record 0, whose gradient is far longer than the clip.
  constexpr int steps = 2;
  constexpr double rate = 0.5;
  const Calibration calibration =
      gaussian(1.0, {.count = steps, .rate = accounting::SamplingRate(rate), .adjacency = {}});
  const noise::PrivateGradient release(noise::Clipping::flat(0.5), noise::Isotropic(2, 0.5, calibration), 2.0);
  const double certified = calibration.epsilon().upper;
  const double length = 0.5;
  const double variance = std::pow(static_cast<double>(release.scale(0)), 2);
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 461);
  std::uint64_t call = 0;
  const auto ratio = [&](bool with, int) {
    double sum = 0;
    for (int step = 0; step < steps; ++step, ++call) {
      // One range for all trials: sources remember gaps.
      const std::uint64_t first = call * 5;
      const auto batch =
          noise::poisson_batch(source, {0, 0, first + (with ? 0 : 1)}, with ? 5 : 4, accounting::SamplingRate(rate));
      std::vector<float> rows;
      for (const std::uint64_t record : batch) rows.insert(rows.end(), {record == first ? 300.0f : 0.0f, 0.0f});
      const std::array<noise::TensorRows, 1> tensors{{{rows.data(), 2, 0, 0, 0}}};
      std::array<float, 2> out{};
      const std::array<std::span<float>, 1> outs{out};
      release.release({tensors, batch.size()}, source, {1, 0, call * 2}, outs);
      const double y = static_cast<double>(out[0]) * release.denominator();
      sum += std::log1p(rate * std::expm1((2 * y * length - length * length) / (2 * variance)));
    }
    return sum;
  };
  // A record that is missing shows less: its curve alone, integrated over both steps, has epsilon 0.90 at this delta;
  // the certificate is that of the worse direction.
  check_bounds("DP-SGD", lower_bounds(certified, kDelta, kTrials, ratio, 0.9), certified, 0.7, 0.3);
}

TEST_CASE("adaptive clipping costs what one Gaussian does, its count included") {
  // Of the record's two traces, the gradient and the count of those that were not clipped, the latter weighs a third.
  const Calibration calibration = gaussian();
  noise::AdaptiveOptions options;
  options.count_noise = 0.85;
  const double certified = calibration.epsilon().upper;
  const double batch = 10;
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 481);
  const noise::AdaptiveClipping first(options, batch, calibration);
  const noise::Isotropic m = first.mechanism(1);
  CHECK(m.mu() * m.mu() + 0.25 / (0.85 * 0.85) >= 0.999);
  const Bounds bounds = lower_bounds(certified, kDelta, kTrials, [&](bool with, int trial) {
    const auto at = static_cast<std::uint64_t>(trial);
    std::array<float, 1> y{with ? 1.0f : 0.0f};
    m.privatise(y, source, {with ? 1u : 0u, 0, at});
    // The next norm follows from the share: nothing more is released.
    noise::AdaptiveClipping clipping = first;
    const std::array<float, 1> clipped{0.5f};
    const double share = clipping.update(std::span(clipped).first(with ? 1 : 0), source, {with ? 3u : 2u, 0, at});
    const double count = (share - 0.5) * batch;
    return (2 * static_cast<double>(y[0]) - 1) / (2 * m.variance()) + (-count - 0.25) / (2 * 0.85 * 0.85);
  });
  check_bounds("adaptive clipping", bounds, certified);
}

TEST_CASE("an audit catches noise that is a fifth too small") {
  const noise::Isotropic weak(2, 1.0, gaussian(0.8));
  const std::vector<float> delta = worst(weak, {1, 1});
  std::vector<double> w(2);
  for (std::size_t i = 0; i < 2; ++i) w[i] = static_cast<double>(delta[i]) / weak.variance();
  const double claimed = gaussian(1.0).epsilon().upper;
  const Bounds bounds = audit_gaussian(weak, delta, w, claimed, 471);
  CHECK(bounds.add > claimed);
  CHECK(bounds.remove > claimed);
}
