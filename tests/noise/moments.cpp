// Moments of the draws and tests of their law. Fixed seeds: a right generator fails a check with the probability stated
// beside it, below 1e-5 for the whole file.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "dpflash/noise/source.hpp"
#include "statistics.hpp"

using namespace dpflash;
using noise::Generator;
using noise::NoiseSource;

namespace {

constexpr Generator kAll[] = {Generator::philox, Generator::chacha12, Generator::chacha20};
constexpr std::size_t kPiece = std::size_t{1} << 20;

/// Least p-value that passes; 78 checks.
constexpr double kLeast = 2e-8;

/// Mean of z^1 .. z^8 over `pieces` times 2^20 draws.
std::array<double, 8> moments(Generator generator, bool laplace, std::uint32_t pieces) {
  auto source = NoiseSource::reproducible(generator, 101);
  std::vector<float> z(kPiece);
  std::array<double, 8> total{};
  for (std::uint32_t piece = 0; piece < pieces; ++piece) {
    if (laplace)
      source.laplace(z, {1, piece, 0});
    else
      source.normal(z, {0, piece, 0});
    std::array<double, 8> sums{};
    for (const float value : z) {
      const double x = static_cast<double>(value);
      double power = 1;
      for (double& sum : sums) {
        power *= x;
        sum += power;
      }
    }
    for (std::size_t k = 0; k < 8; ++k) total[k] += sums[k];
  }
  for (double& sum : total) sum /= static_cast<double>(kPiece) * pieces;
  return total;
}

/// E z^k of the normal law, 0 for odd k.
double normal_moment(int k) {
  if (k % 2 == 1) return 0;
  double product = 1;
  for (int i = 1; i < k; i += 2) product *= i;
  return product;
}

double laplace_moment(int k) { return k % 2 == 1 ? 0 : std::tgamma(k + 1.0); }

}  // namespace

TEST_CASE("moments one to eight are the normal law's") {
  // 2^25 draws: the mean of z^8 is normal but for a skewness of 0.02, which at 5.6 deviations doubles the p-value.
  for (const Generator generator : kAll) {
    const std::array<double, 8> seen = moments(generator, false, 32);
    for (int k = 1; k <= 8; ++k) {
      const double exact = normal_moment(k);
      const double deviation = std::sqrt((normal_moment(2 * k) - exact * exact) / (32.0 * kPiece));
      const double off = (seen[static_cast<std::size_t>(k - 1)] - exact) / deviation;
      INFO(name_of(generator), ", moment ", k, ": ", off, " standard deviations");
      CHECK(test::two_sided(off) >= kLeast);
    }
  }
}

TEST_CASE("moments one to six are the Laplace law's") {
  // The skewness of z^6's mean is 0.1: false alarms are 20 times as frequent as the p-value says. The means of z^7 and
  // z^8 are far from normal at any affordable number of draws; tails.cpp counts there.
  for (const Generator generator : kAll) {
    const std::array<double, 8> seen = moments(generator, true, 32);
    for (int k = 1; k <= 6; ++k) {
      const double exact = laplace_moment(k);
      const double deviation = std::sqrt((laplace_moment(2 * k) - exact * exact) / (32.0 * kPiece));
      const double off = (seen[static_cast<std::size_t>(k - 1)] - exact) / deviation;
      INFO(name_of(generator), ", moment ", k, ": ", off, " standard deviations");
      CHECK(test::two_sided(off) >= kLeast);
    }
  }
}

TEST_CASE("Kolmogorov's and Anderson and Darling's tests accept the draws") {
  for (const Generator generator : kAll) {
    auto source = NoiseSource::reproducible(generator, 102);
    std::vector<float> z(2 * kPiece);
    const auto n = static_cast<double>(z.size());
    for (const bool laplace : {false, true})
      for (const std::uint32_t step : {0u, 0xffffffffu}) {
        if (laplace)
          source.laplace(z, {3, step, 12345});
        else
          source.normal(z, {2, step, 12345});
        const test::FitStatistics fit = laplace ? test::fit_statistics(z, test::laplace_below, test::laplace_above)
                                                : test::fit_statistics(z, test::normal_below, test::normal_above);
        const double kolmogorov = test::kolmogorov_p_value(fit.kolmogorov, n);
        const double anderson = test::anderson_darling_p_value(fit.anderson_darling);
        INFO(name_of(generator), laplace ? " Laplace" : " normal", ": p ", kolmogorov, " and ", anderson);
        CHECK(kolmogorov >= kLeast);
        CHECK(anderson >= kLeast);
      }
  }
}

TEST_CASE("the tests refuse draws that are slightly wrong") {
  // A scale off by 0.6 % and a mean off by 0.006, at 2^21 draws: otherwise the tests above say little.
  auto source = NoiseSource::reproducible(Generator::philox, 103);
  std::vector<float> z(2 * kPiece);
  source.normal(z, {});
  std::vector<float> wide = z;
  for (float& value : wide) value *= 1.006f;
  std::vector<float> moved = z;
  for (float& value : moved) value += 0.006f;
  const auto wide_fit = test::fit_statistics(wide, test::normal_below, test::normal_above);
  const auto moved_fit = test::fit_statistics(moved, test::normal_below, test::normal_above);
  CHECK(test::anderson_darling_p_value(wide_fit.anderson_darling) < kLeast);
  CHECK(test::anderson_darling_p_value(moved_fit.anderson_darling) < kLeast);
  CHECK(test::kolmogorov_p_value(moved_fit.kolmogorov, static_cast<double>(z.size())) < kLeast);
}

TEST_CASE("p-values agree with published tables") {
  CHECK(test::kolmogorov_p_value(1.3581 / std::sqrt(1e8), 1e8) == doctest::Approx(0.05).epsilon(0.002));
  CHECK(test::kolmogorov_p_value(1.6276 / std::sqrt(1e8), 1e8) == doctest::Approx(0.01).epsilon(0.002));
  CHECK(test::anderson_darling_p_value(2.492) == doctest::Approx(0.05).epsilon(0.15));
  CHECK(test::anderson_darling_p_value(3.857) == doctest::Approx(0.01).epsilon(0.06));
  CHECK(test::chi_square_p_value(18.307, 10) == doctest::Approx(0.05).epsilon(0.001));
  CHECK(test::binomial_at_least(8, 10, 0.5) == doctest::Approx(56.0 / 1024));
  CHECK(test::binomial_at_most(2, 10, 0.5) == doctest::Approx(56.0 / 1024));
  // Clopper and Pearson for 0 of n: 1 - alpha^(1/n).
  CHECK(test::clopper_pearson_upper(0, 100, 0.025) == doctest::Approx(1 - std::pow(0.025, 0.01)));
  CHECK(test::clopper_pearson_lower(100, 100, 0.025) == doctest::Approx(std::pow(0.025, 0.01)));
  CHECK(test::clopper_pearson_lower(7, 20, 0.025) == doctest::Approx(0.15391).epsilon(1e-3));
}
