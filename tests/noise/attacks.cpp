// Constructions that are not private, and the attacks that say so: docs/math/attacks.md. None of them is in the
// library. Seeds are fixed; each bound is wrong with probability 2e-9.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "dpflash/noise/grid.hpp"
#include "dpflash/noise/mechanisms.hpp"
#include "dpflash/noise/private_gradient.hpp"
#include "statistics.hpp"

using namespace dpflash;
using accounting::Delta;
using accounting::NoiseMultiplier;
using noise::Calibration;
using noise::NoiseSource;

namespace {

constexpr double kAlpha = 1e-9;
constexpr double kDelta = 1e-5;
constexpr int kTrials = 20000;

Calibration gaussian(double noise) { return Calibration::gaussian_stated(NoiseMultiplier(noise), Delta(kDelta)); }

/// Normal draws one after another, times `scale`.
class Normals {
 public:
  explicit Normals(std::uint64_t seed) : source_(NoiseSource::reproducible(noise::Generator::chacha12, seed)) {}

  Eigen::MatrixXd matrix(int rows, int columns) {
    Eigen::MatrixXd out(rows, columns);
    for (double& value : out.reshaped()) value = next();
    return out;
  }

  double next() {
    if (used_ == buffer_.size()) {
      source_.normal(buffer_, {0, 0, position_});
      position_ += buffer_.size();
      used_ = 0;
    }
    return static_cast<double>(buffer_[used_++]);
  }

 private:
  NoiseSource source_;
  std::vector<float> buffer_ = std::vector<float>(std::size_t{1} << 16);
  std::size_t used_ = std::size_t{1} << 16;
  std::uint64_t position_ = 0;
};

/// `says_with(with)` makes one release with or without the record and returns the attacker's verdict. All verdicts are
/// right, so that the bound of epsilon is what `trials` can show at most, whatever delta below 1 is conceded.
template <class Attack>
void check_always_right(const std::string& name, double claimed, const Attack& says_with, int trials = kTrials) {
  double hits = 0;
  double false_hits = 0;
  for (int trial = 0; trial < trials; ++trial) {
    hits += says_with(true) ? 1 : 0;
    false_hits += says_with(false) ? 1 : 0;
  }
  CHECK(hits == trials);
  CHECK(false_hits == 0);
  const double bound = test::epsilon_lower_bound(hits, false_hits, trials, kDelta, kAlpha);
  const double all_but = test::epsilon_lower_bound(hits, false_hits, trials, 0.9, kAlpha);
  MESSAGE(name << ": claimed epsilon " << claimed << ", at least " << bound << " at delta 1e-5, " << all_but
               << " at delta 0.9; errors 0 of " << 2 * trials);
  CHECK(bound > 3 * claimed);
  CHECK(all_but > claimed);
}

/// What an isotropic release of this scale would cost: the claim of those who only look at the noise's size.
double claim_of(double noise) { return gaussian(noise).epsilon().upper; }

double smallest_over_largest(const Eigen::MatrixXd& m, int rank) {
  const Eigen::VectorXd s = m.jacobiSvd().singularValues();
  return s[rank] / s[0];
}

}  // namespace

TEST_CASE("noise V W^T of low rank on a whole matrix: the rank names the input, at any scale") {
  constexpr int n = 6;
  constexpr int rank = 2;
  Normals normals(501);
  const Eigen::MatrixXd without = normals.matrix(n, n);
  Eigen::MatrixXd record = normals.matrix(n, n);
  record /= record.norm();
  for (const double noise : {5.0, 100.0})
    check_always_right("V W^T, noise " + std::to_string(noise), claim_of(noise), [&](bool with) {
      const Eigen::MatrixXd g = with ? Eigen::MatrixXd(without + record) : without;
      const Eigen::MatrixXd y = g + noise / std::sqrt(rank) * normals.matrix(n, rank) * normals.matrix(rank, n);
      return smallest_over_largest(y - without, rank) > 1e-12;
    });
}

TEST_CASE("noise in a subspace on a whole matrix: the complement shows the input exactly") {
  constexpr int n = 8;
  constexpr int rank = 3;
  const double noise = 5;
  Normals normals(502);
  const Eigen::MatrixXd basis = Eigen::HouseholderQR<Eigen::MatrixXd>(normals.matrix(n, rank)).householderQ() *
                                Eigen::MatrixXd::Identity(n, rank);
  const Eigen::VectorXd record = normals.matrix(n, 1).normalized();
  check_always_right("G + sigma U Z", claim_of(noise), [&](bool with) {
    Eigen::VectorXd y = noise * (basis * normals.matrix(rank, 1));
    if (with) y += record;
    // The projection on the complement holds no noise.
    return (y - basis * (basis.transpose() * y)).norm() > 1e-9;
  });
  // The library's low rank drops the complement: the same statistic is zero in both worlds.
  std::vector<float> values(n * rank);
  for (int i = 0; i < n; ++i)
    for (int a = 0; a < rank; ++a) values[static_cast<std::size_t>(i * rank + a)] = static_cast<float>(basis(i, a));
  const noise::LowRank sound({n, rank, values}, 1, 1.0, gaussian(noise));
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 502);
  for (std::uint32_t world = 0; world < 2; ++world) {
    Eigen::VectorXf y = world == 0 ? Eigen::VectorXf::Zero(n).eval() : record.cast<float>().eval();
    sound.privatise(std::span(y.data(), n), source, {0, world, 0});
    const Eigen::VectorXd released = y.cast<double>();
    CHECK((released - basis * (basis.transpose() * released)).norm() < 1e-5 * released.norm());
  }
}

TEST_CASE("entries and blocks that are released without noise show their part of the input") {
  constexpr std::size_t n = 10;
  const double noise = 5;
  Normals normals(503);
  std::mt19937 random(1);
  check_always_right("noise on a tenth of the entries", claim_of(noise), [&](bool with) {
    std::array<double, n> y{};
    if (with) y.fill(1 / std::sqrt(static_cast<double>(n)));
    y[random() % n] += noise * normals.next();
    return std::count(y.begin(), y.end(), 0.0) <= 1;
  });
  check_always_right("noise on one block of two", claim_of(noise), [&](bool with) {
    std::array<double, n> y{};
    if (with) y.fill(1 / std::sqrt(static_cast<double>(n)));
    for (std::size_t i = 0; i < n / 2; ++i) y[i] += noise * normals.next();
    return y[n - 1] != 0;
  });
}

TEST_CASE("a mask chosen from the data shows by its support which data it was") {
  constexpr std::size_t n = 10;
  const double noise = 5;
  Normals normals(504);
  check_always_right("mask of the largest entry", claim_of(noise), [&](bool with) {
    std::array<double, n> g{};
    g[0] = 0.5;
    if (with) g[7] += 1.0;
    const auto largest = std::max_element(g.begin(), g.end()) - g.begin();
    std::array<double, n> y{};
    const auto kept = static_cast<std::size_t>(largest);
    y[kept] = g[kept] + noise * normals.next();
    return y[7] != 0;
  });
}

TEST_CASE("a scale made of observed norms shows the norms") {
  // The largest norm of the batch sets the scale, with a floor of 0.1: the record's share of the batch's largest norm
  // moves the noise on all 2000 entries, and their mean square tells.
  constexpr std::size_t n = 2000;
  const double noise = 5;
  Normals normals(505);
  check_always_right(
      "sigma from observed norms", claim_of(noise),
      [&](bool with) {
        const double scale = noise * (with ? 1.0 : 0.1);
        double squares = 0;
        for (std::size_t i = 0; i < n; ++i) {
          const double y = (with && i == 0 ? 1.0 : 0.0) + scale * normals.next();
          squares += y * y;
        }
        return squares / n > 0.25 * noise * noise;
      },
      2000);
}

TEST_CASE("noise used twice is subtracted; a source refuses to give it twice") {
  const noise::Isotropic mechanism(4, 1.0, gaussian(5));
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 506);
  std::vector<std::byte> key(source.key().begin(), source.key().end());
  std::uint64_t first = 0;
  check_always_right("the same draws in two releases", gaussian(5 / std::sqrt(2)).epsilon().upper, [&](bool with) {
    // Who copies the key and forgets the position: a run that starts again, two ranks on one range.
    auto again = NoiseSource::from_key(source.generator(), std::span<const std::byte, 32>(key.data(), 32));
    std::vector<float> one(4, 0.0f);
    std::vector<float> two(4, with ? 0.5f : 0.0f);
    mechanism.privatise(one, source, {0, 0, first});
    mechanism.privatise(two, again, {0, 0, first});
    first += 4;
    double off = 0;
    for (std::size_t i = 0; i < 4; ++i) off += static_cast<double>(two[i] - one[i]);
    return off > 1.0;
  });
  std::vector<float> y(4);
  CHECK_THROWS_AS(mechanism.privatise(y, source, {0, 0, 0}), noise::ReusedNoise);
}
