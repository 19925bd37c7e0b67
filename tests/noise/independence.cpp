// Draws of one key are independent: lags, lanes, words that are shared, streams, steps, keys. Fixed seeds: a right
// generator fails the file with probability below 1e-5.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "dpflash/noise/source.hpp"
#include "draw/chacha.hpp"
#include "draw/normal.hpp"
#include "draw/philox.hpp"
#include "statistics.hpp"

using namespace dpflash;
using noise::Generator;
using noise::NoiseSource;

namespace {

constexpr Generator kAll[] = {Generator::philox, Generator::chacha12, Generator::chacha20};

/// Least p-value that passes: some 1500 checks, and what is reported as a least of many is multiplied by their number.
constexpr double kLeast = 5e-9;

std::uint32_t quads_of(Generator generator) {
  return generator == Generator::philox ? draw::NormalLayout<draw::Philox>::quads
                                        : draw::NormalLayout<draw::ChaCha<20>>::quads;
}

std::vector<float> normals(Generator generator, std::uint64_t seed, const noise::Position& position, std::size_t n) {
  std::vector<float> z(n);
  NoiseSource::reproducible(generator, seed).normal(z, position);
  return z;
}

/// Sum of x_i y_i over the root of n, standard normal for independent sequences of mean 0 and variance 1.
double correlation(const float* x, const float* y, std::size_t n) {
  std::array<double, 8> sums{};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::size_t k = 0; k < 8; ++k) sums[k] += static_cast<double>(x[i + k]) * static_cast<double>(y[i + k]);
  return std::accumulate(sums.begin(), sums.end(), 0.0) / std::sqrt(static_cast<double>(i));
}

/// (z^2 - 1) / sqrt 2: shows radii that depend on each other, which correlations do not.
std::vector<float> energies(const std::vector<float>& z) {
  std::vector<float> e(z.size());
  std::transform(z.begin(), z.end(), e.begin(), [](float x) { return (x * x - 1) * 0.70710678f; });
  return e;
}

/// The largest of all correlations, and the sum of their squares against chi-square.
void check_all(const std::vector<double>& statistics, const char* what) {
  double largest = 0;
  double squares = 0;
  for (const double s : statistics) {
    largest = std::max(largest, std::abs(s));
    squares += s * s;
  }
  const auto count = static_cast<double>(statistics.size());
  INFO(what, ": ", count, " correlations, the largest ", largest, " deviations, mean square ", squares / count);
  CHECK(test::two_sided(largest) * count >= kLeast);
  CHECK(test::chi_square_p_value(squares, count) >= kLeast);
  CHECK(1 - test::chi_square_p_value(squares, count) >= kLeast);
}

/// Which of 16 cells of equal probability.
std::uint32_t cell_of(float z, const std::array<float, 15>& edges) {
  std::uint32_t cell = 0;
  for (const float edge : edges) cell += z > edge ? 1u : 0u;
  return cell;
}

std::vector<std::uint8_t> cells_of(const std::vector<float>& z) {
  std::array<float, 15> edges{};
  for (std::size_t k = 0; k < 15; ++k)
    edges[k] = static_cast<float>(test::normal_quantile(static_cast<double>(k + 1) / 16));
  std::vector<std::uint8_t> cells(z.size());
  std::transform(z.begin(), z.end(), cells.begin(),
                 [&](float x) { return static_cast<std::uint8_t>(cell_of(x, edges)); });
  return cells;
}

/// Pearson's test of the 16 x 16 table of (cells[first(j)], cells[second(j)]), j < pairs: uniform on the square.
double pair_p_value(const std::vector<std::uint8_t>& cells, std::size_t pairs,
                    const std::function<std::size_t(std::size_t)>& first, std::size_t distance) {
  std::array<std::uint32_t, 256> counts{};
  for (std::size_t j = 0; j < pairs; ++j) {
    const std::size_t i = first(j);
    counts[cells[i] * 16u + cells[i + distance]] += 1;
  }
  return test::chi_square_p_value(test::equal_cells_statistic(counts, static_cast<double>(pairs) / 256), 255);
}

}  // namespace

TEST_CASE("draws and their squares are uncorrelated at every lag through two groups") {
  constexpr std::size_t lags = 1300;
  constexpr std::size_t n = std::size_t{1} << 19;
  for (const Generator generator : kAll) {
    const std::vector<float> z = normals(generator, 301, {0, 0, 0}, n + lags);
    const std::vector<float> e = energies(z);
    std::vector<double> of_draws;
    std::vector<double> of_squares;
    for (std::size_t lag = 1; lag <= lags; ++lag) {
      of_draws.push_back(correlation(z.data(), z.data() + lag, n));
      of_squares.push_back(correlation(e.data(), e.data() + lag, n));
    }
    check_all(of_draws, "draws");
    check_all(of_squares, "squares");
  }
}

TEST_CASE("Laplace draws and their sizes are uncorrelated at every lag through two groups") {
  constexpr std::size_t lags = 1100;
  constexpr std::size_t n = std::size_t{1} << 19;
  for (const Generator generator : kAll) {
    std::vector<float> z(n + lags);
    NoiseSource::reproducible(generator, 306).laplace(z, {0, 0, 0});
    std::vector<float> sizes(z.size());
    // Sizes are exponential of mean and deviation 1, draws have variance 2.
    std::transform(z.begin(), z.end(), sizes.begin(), [](float x) { return std::abs(x) - 1; });
    std::vector<double> of_draws;
    std::vector<double> of_sizes;
    for (std::size_t lag = 1; lag <= lags; ++lag) {
      of_draws.push_back(correlation(z.data(), z.data() + lag, n) / 2);
      of_sizes.push_back(correlation(sizes.data(), sizes.data() + lag, n));
    }
    check_all(of_draws, "Laplace draws");
    check_all(of_sizes, "sizes");
  }
}

TEST_CASE("streams, steps, keys and far ranges are uncorrelated") {
  constexpr std::size_t n = std::size_t{1} << 18;
  for (const Generator generator : kAll) {
    std::vector<std::vector<float>> all;
    for (const std::uint64_t seed : {1u, 2u, 3u})
      for (const noise::Position position : {noise::Position{0, 0, 0},
                                             {0, 1, 0},
                                             {1, 0, 0},
                                             {1, 1, 0},
                                             {0x80000000u, 0, 0},
                                             {0, 0x80000000u, 0},
                                             {0, 0, std::uint64_t{1} << 32},
                                             {0, 0, std::uint64_t{1} << 55},
                                             {0, 2, 0},
                                             {2, 0, 0}})
        all.push_back(normals(generator, seed, position, n));
    std::vector<std::vector<float>> squares;
    for (const std::vector<float>& z : all) squares.push_back(energies(z));
    std::vector<double> of_draws;
    std::vector<double> of_squares;
    for (std::size_t i = 0; i < all.size(); ++i)
      for (std::size_t j = 0; j < i; ++j) {
        of_draws.push_back(correlation(all[i].data(), all[j].data(), n));
        of_squares.push_back(correlation(squares[i].data(), squares[j].data(), n));
      }
    check_all(of_draws, "draws");
    check_all(of_squares, "squares");
  }
}

TEST_CASE("all pairs of draws that a lane makes are independent") {
  // Lane l owns elements 128 q + 4 l + k of a group: draws of one quad share three words, those of one lane a block.
  for (const Generator generator : kAll) {
    const std::uint32_t quads = quads_of(generator);
    const std::size_t group = 128u * quads;
    const std::size_t groups = (std::size_t{1} << 23) / group;
    const std::vector<std::uint8_t> cells = cells_of(normals(generator, 302, {0, 0, 0}, groups * group));
    double least = 1;
    double pairs = 0;
    for (std::uint32_t b = 1; b < 4 * quads; ++b)
      for (std::uint32_t a = 0; a < b; ++a) {
        const std::size_t from = a / 4 * 128u + a % 4;
        const std::size_t to = b / 4 * 128u + b % 4;
        const auto first = [&](std::size_t j) { return j / 32 * group + j % 32 * 4 + from; };
        least = std::min(least, pair_p_value(cells, groups * 32, first, to - from));
        pairs += 1;
      }
    INFO(name_of(generator), ": ", pairs, " pairs, least p-value ", least);
    CHECK(least * pairs >= kLeast);
  }
}

TEST_CASE("draws of neighbouring lanes and neighbouring groups are independent") {
  for (const Generator generator : kAll) {
    const std::size_t group = 128u * quads_of(generator);
    constexpr std::size_t n = std::size_t{1} << 22;
    const std::vector<std::uint8_t> cells = cells_of(normals(generator, 303, {0, 0, 0}, n + 2 * group));
    double least = 1;
    const std::vector<std::size_t> distances{1,   2,   3,         4,         5,     8,         64,        124,      127,
                                             128, 132, group - 4, group - 1, group, group + 1, group + 4, 2 * group};
    for (const std::size_t distance : distances)
      least = std::min(least, pair_p_value(
                                  cells, n, [](std::size_t j) { return j; }, distance));
    INFO(name_of(generator), ": least p-value ", least);
    CHECK(least * static_cast<double>(distances.size()) >= kLeast);
  }
}

TEST_CASE("a rare radius says nothing about the other draws of its quad") {
  // The four draws around radii beyond 4.3: the other pair's energy stays at its mean.
  for (const Generator generator : kAll) {
    const std::vector<float> z = normals(generator, 304, {0, 0, 0}, std::size_t{1} << 25);
    double sum = 0;
    double count = 0;
    for (std::size_t i = 0; i < z.size(); i += 2) {
      const auto energy = [&](std::size_t k) {
        return static_cast<double>(z[k]) * static_cast<double>(z[k]) +
               static_cast<double>(z[k + 1]) * static_cast<double>(z[k + 1]);
      };
      if (energy(i) < 4.3 * 4.3) continue;
      const std::size_t other = i % 4 == 0 ? i + 2 : i - 2;
      sum += energy(other);
      count += 1;
    }
    // Sums of k exponentials of mean 2 are Gamma(k, 2).
    const double p = boost::math::gamma_q(count, sum / 2);
    INFO(name_of(generator), ": ", count, " pairs, mean energy beside them ", sum / count);
    CHECK(count > 1000);
    CHECK(2 * std::min(p, 1 - p) >= kLeast);
  }
}

TEST_CASE("shards cut anywhere hold the draws of the whole, whatever the generator and the law") {
  std::mt19937_64 random(305);
  for (const Generator generator : kAll)
    for (const bool laplace : {false, true})
      for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{639}, (std::uint64_t{1} << 56) - 4000}) {
        const auto draw = [&](NoiseSource& source, std::span<float> out, std::uint64_t at) {
          if (laplace)
            source.laplace(out, {7, 8, at});
          else
            source.normal(out, {7, 8, at});
        };
        std::vector<float> whole(4000);
        auto source = NoiseSource::reproducible(generator, 305);
        draw(source, whole, first);
        std::vector<float> parts(whole.size());
        auto again = NoiseSource::reproducible(generator, 305);
        for (std::size_t begin = 0; begin < parts.size();) {
          const std::size_t n = std::min<std::size_t>(1 + random() % 700, parts.size() - begin);
          draw(again, std::span(parts).subspan(begin, n), first + begin);
          begin += n;
        }
        CHECK(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)) == 0);
      }
}
