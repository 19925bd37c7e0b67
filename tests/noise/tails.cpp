// How often draws are large. Fixed seeds: a right generator fails the file with probability below 1e-6.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "dpflash/noise/source.hpp"
#include "statistics.hpp"

using namespace dpflash;
using noise::Generator;
using noise::NoiseSource;

namespace {

constexpr Generator kAll[] = {Generator::philox, Generator::chacha12, Generator::chacha20};
constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr std::uint32_t kNormalPieces = 96;  // 1.007e8 draws
constexpr std::uint32_t kLaplacePieces = 32;

/// Least p-value that passes; 72 checks.
constexpr double kLeast = 1.5e-8;

/// Counts beyond thresholds on both sides.
struct Counts {
  explicit Counts(std::vector<float> of) : thresholds(std::move(of)), above(thresholds.size()), below(above) {}

  void add(std::span<const float> z) {
    n += static_cast<double>(z.size());
    for (const float value : z) {
      if (std::abs(value) < thresholds.front()) continue;
      for (std::size_t t = 0; t < thresholds.size(); ++t) {
        above[t] += value > thresholds[t] ? 1 : 0;
        below[t] += value < -thresholds[t] ? 1 : 0;
      }
    }
  }

  template <class Above>
  void check(const Above& tail) const {
    for (std::size_t t = 0; t < thresholds.size(); ++t) {
      const double p = tail(static_cast<double>(thresholds[t]));
      INFO("beyond ", thresholds[t], ": ", above[t], " and ", below[t], ", expected ", n * p);
      CHECK(test::binomial_p_value(above[t], n, p) >= kLeast);
      CHECK(test::binomial_p_value(below[t], n, p) >= kLeast);
      CHECK(test::binomial_p_value(above[t] + below[t], 2 * n, p) >= kLeast);
    }
  }

  std::vector<float> thresholds;
  std::vector<double> above;
  std::vector<double> below;
  double n = 0;
};

/// Squared radius of rare pairs, beyond the least; what rounding could take across that is left out.
constexpr double kLeastRare = 30 * std::numbers::ln2;
constexpr double kMargin = 1e-4;

void add_rare(std::span<const float> z, std::vector<float>& excess) {
  for (std::size_t i = 0; i < z.size(); i += 2) {
    const double squared = static_cast<double>(z[i]) * static_cast<double>(z[i]) +
                           static_cast<double>(z[i + 1]) * static_cast<double>(z[i + 1]);
    if (squared > kLeastRare + kMargin) excess.push_back(static_cast<float>(squared - kLeastRare - kMargin));
  }
}

/// A squared radius is exponential of mean 2, and so is its excess over anything.
void check_rare(std::vector<float>& excess, double pairs) {
  const auto found = static_cast<double>(excess.size());
  INFO(found, " rare radii");
  CHECK(test::binomial_p_value(found, pairs, std::exp(-(kLeastRare + kMargin) / 2)) >= kLeast);
  const test::FitStatistics fit = test::fit_statistics(
      excess, [](double x) { return -std::expm1(-x / 2); }, [](double x) { return std::exp(-x / 2); });
  CHECK(test::kolmogorov_p_value(fit.kolmogorov, found) >= kLeast);
  CHECK(test::anderson_darling_p_value(fit.anderson_darling) >= kLeast);
}

}  // namespace

TEST_CASE("normal draws are as often beyond 3, 4, 4.5 and 5 deviations as they should be, rare radii have their law") {
  std::vector<float> z(kPiece);
  for (const Generator generator : kAll) {
    INFO(name_of(generator));
    auto source = NoiseSource::reproducible(generator, 201);
    Counts counts({3.0f, 4.0f, 4.5f, 5.0f});
    std::vector<float> excess;
    for (std::uint32_t piece = 0; piece < kNormalPieces; ++piece) {
      source.normal(z, {0, piece, 0});
      counts.add(z);
      add_rare(z, excess);
    }
    counts.check(test::normal_above);
    check_rare(excess, counts.n / 2);
  }
}

TEST_CASE("Laplace draws are as often beyond 6, 11 and 15 scales as they should be") {
  // Beyond 11.1 the words are rare ones.
  std::vector<float> z(kPiece);
  for (const Generator generator : kAll) {
    INFO(name_of(generator));
    auto source = NoiseSource::reproducible(generator, 201);
    Counts counts({6.0f, 11.0f, 15.0f});
    for (std::uint32_t piece = 0; piece < kLaplacePieces; ++piece) {
      source.laplace(z, {1, piece, 0});
      counts.add(z);
    }
    counts.check(test::laplace_above);
  }
}
