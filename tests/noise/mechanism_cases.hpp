// What the mechanisms' tests share.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <vector>

#include "dpflash/noise/calibration.hpp"
#include "dpflash/noise/mechanisms.hpp"

namespace cases {

using dpflash::noise::Calibration;
using dpflash::noise::NoiseSource;

inline Calibration gaussian(double noise = 1.25) {
  return Calibration::gaussian_stated(dpflash::accounting::NoiseMultiplier(noise), dpflash::accounting::Delta(1e-5));
}
inline Calibration laplace(double noise = 1.25) {
  return Calibration::laplace_stated(dpflash::accounting::NoiseMultiplier(noise), dpflash::accounting::Delta(1e-5));
}
inline NoiseSource source(std::uint64_t seed = 11) {
  return NoiseSource::reproducible(dpflash::noise::Generator::chacha20, seed);
}

inline std::vector<float> random_vector(std::size_t n, std::mt19937_64& random, double size = 1) {
  std::normal_distribution<double> normal(0, size);
  std::vector<float> x(n);
  for (float& value : x) value = static_cast<float>(normal(random));
  return x;
}

/// Clips extremal and random contributions and compares length(clipped) with `mu`: never above, and reached to 0.999.
/// `length` is |Sigma^(-1/2) x| in double from the mechanism's own scales.
template <class Mechanism>
void check_mu(const Mechanism& m, double mu, const std::function<double(std::span<const float>)>& length,
              std::uint64_t seed = 5) {
  std::mt19937_64 random(seed);
  double most = 0;
  const auto attempt = [&](std::span<float> x) {
    m.clip(x);
    const double reached = length(x);
    CHECK(reached <= mu * (1 + 1e-12));
    most = std::max(most, reached);
  };
  const std::size_t n = m.size();
  for (const double size : {1e-30, 1e-3, 1.0, 1e5, 1e30})
    for (int i = 0; i < 40; ++i) {
      std::vector<float> x = random_vector(n, random, size);
      attempt(x);
    }
  for (const float big : {1e-20f, 1.0f, -3.0e38f}) {
    std::vector<float> x(n, big);
    attempt(x);
    for (std::size_t i = 0; i < n; ++i) {
      std::fill(x.begin(), x.end(), 0.0f);
      x.at(i) = big;
      attempt(x);
    }
  }
  CHECK(most >= 0.999 * mu);
}

/// Empirical covariance of `repeats` releases of a zero sum against `expected` (n x n). An entry is off by more than 6
/// of its standard errors with probability below 2e-9 if normal; 1000 entries: a false alarm in 5e5 seeds.
template <class Mechanism>
void check_covariance(const Mechanism& m, const std::vector<double>& expected, int repeats = 20000) {
  const std::size_t n = m.size();
  REQUIRE(expected.size() == n * n);
  auto noise = source(99);
  std::vector<double> sums(n * n, 0.0);
  std::vector<float> g(n);
  for (int k = 0; k < repeats; ++k) {
    std::fill(g.begin(), g.end(), 0.0f);
    m.privatise(g, noise, {1, static_cast<std::uint32_t>(k), 0});
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) sums[i * n + j] += static_cast<double>(g[i]) * static_cast<double>(g[j]);
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      const double e = expected[i * n + j];
      const double spread = std::sqrt((expected[i * n + i] * expected[j * n + j] + e * e) / repeats);
      CHECK(std::abs(sums[i * n + j] / repeats - e) <= 6 * spread + 1e-12);
    }
}

inline std::vector<double> diagonal(const std::vector<double>& values) {
  std::vector<double> out(values.size() * values.size(), 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) out[i * values.size() + i] = values[i];
  return out;
}

/// A contribution with a NaN or an infinity becomes zero; a short one stays what it was.
template <class Mechanism>
void check_clip_edges(const Mechanism& m, float tiny) {
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    std::vector<float> x(m.size(), bad);
    m.clip(x);
    for (const float value : x) CHECK(value == 0.0f);
  }
  std::vector<float> x(m.size(), tiny);
  const std::vector<float> before = x;
  m.clip(x);
  CHECK(x == before);
  std::vector<float> zero(m.size(), 0.0f);
  m.clip(zero);
  CHECK(zero == std::vector<float>(m.size(), 0.0f));
}

/// Wrong sizes change nothing and use no draw; the right size then works once.
template <class Mechanism>
void check_release(const Mechanism& m) {
  auto noise = source();
  std::vector<float> longer(m.size() + 1, 1.0f);
  std::vector<float> empty;
  CHECK_THROWS_AS(m.privatise(longer, noise, {}), dpflash::accounting::UnusableInput);
  CHECK_THROWS_AS(m.privatise(empty, noise, {}), dpflash::accounting::UnusableInput);
  CHECK_THROWS_AS(m.clip(longer), dpflash::accounting::UnusableInput);
  CHECK_THROWS_AS(m.clip(empty), dpflash::accounting::UnusableInput);
  for (const float value : longer) CHECK(value == 1.0f);
  std::vector<float> right(m.size(), 1.0f);
  m.privatise(right, noise, {});
  const std::vector<float> released = right;
  CHECK_THROWS_AS(m.privatise(right, noise, {}), dpflash::noise::ReusedNoise);
  CHECK(right == released);
  CHECK_THROWS_AS(m.privatise(right, noise, {0, 1, ~std::uint64_t{0} - 1}), dpflash::accounting::UnusableInput);
  CHECK(right == released);
}

/// Shards of any cut hold what the whole holds.
template <class Mechanism>
void check_shards(const Mechanism& m, std::span<const std::size_t> cuts) {
  std::mt19937_64 random(3);
  const std::vector<float> sum = random_vector(m.size(), random);
  std::vector<float> whole = sum;
  auto noise = source();
  m.privatise(whole, noise, {2, 3, 17});
  for (const std::size_t cut : cuts) {
    std::vector<float> parts = sum;
    auto again = source();
    m.privatise_shard(std::span(parts).subspan(cut), cut, again, {2, 3, 17});
    m.privatise_shard(std::span(parts).first(cut), 0, again, {2, 3, 17});
    CHECK(parts == whole);
    CHECK_THROWS_AS(m.privatise_shard(parts, 1, again, {2, 4, 0}), dpflash::accounting::UnusableInput);
  }
}

}  // namespace cases
