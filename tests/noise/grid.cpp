// The integer-grid mechanism: exact sensitivity, exact sums, the charge.
#include "dpflash/noise/grid.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <limits>
#include <random>
#include <vector>

#include "chi_square.hpp"

using namespace dpflash;
using noise::GridMechanism;
using noise::NoiseSource;

namespace {

__extension__ typedef unsigned __int128 Wide;

noise::Calibration stated(double multiplier, const noise::Releases& releases = {}) {
  return noise::Calibration::gaussian_stated(accounting::NoiseMultiplier(multiplier), accounting::Delta(1e-6),
                                             releases);
}

Wide squared(const std::vector<std::int64_t>& k) {
  Wide sum = 0;
  for (const std::int64_t x : k)
    sum += static_cast<Wide>(static_cast<Wide>(x < 0 ? -x : x)) * static_cast<Wide>(x < 0 ? -x : x);
  return sum;
}

std::vector<std::int64_t> on_grid(const GridMechanism& mechanism, const std::vector<float>& g) {
  std::vector<std::int64_t> out(g.size());
  mechanism.to_grid(g, out);
  const auto clip = static_cast<Wide>(mechanism.integer_clip());
  REQUIRE(squared(out) <= clip * clip);
  return out;
}

}  // namespace

TEST_CASE("the integer clip never exceeds 2^bits over the multiplier, and is the largest such integer") {
  for (const double sigma : {0.3, 0.5, 1.0, 1.1, 3.0, 7.0 / 3, 65536.0 / 3, 65535.9, 65536.0}) {
    for (const int bits : {8, 12, 16}) {
      if (sigma > std::ldexp(1.0, bits)) continue;
      const GridMechanism mechanism(1, 1.5, stated(sigma), bits);
      const auto c = static_cast<double>(mechanism.integer_clip());
      CHECK(std::fma(c, sigma, -std::ldexp(1.0, bits)) <= 0);
      CHECK(std::fma(c + 1, sigma, -std::ldexp(1.0, bits)) > 0);
      CHECK(mechanism.mu() <= 1 / sigma);
    }
  }
}

TEST_CASE("a clipped vector's integer norm is within the bound, whatever rounding does") {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::size_t d : {1u, 2u, 3u, 17u, 1000u, 50000u}) {
    const GridMechanism mechanism(d, 1, stated(1.3), d > 1000 ? 8 : 16);
    const auto spacing = static_cast<float>(mechanism.spacing());
    std::vector<float> g(d);
    // Every element half a unit above an integer: all round up.
    for (float& x : g) x = spacing * 0.5001f;
    on_grid(mechanism, g);
    for (float& x : g) x = spacing * 1.5001f;
    on_grid(mechanism, g);
    for (const float size : {1e-30f, 1e-6f, 0.1f, 1.0f, 1e6f, 1e30f, 3e38f}) {
      for (float& x : g) x = size * normal(random);
      for (float& x : g) x = std::isfinite(x) ? x : size;
      on_grid(mechanism, g);
      for (float& x : g) x = size;
      on_grid(mechanism, g);
    }
    g.assign(d, 0);
    g[0] = -std::numeric_limits<float>::max();
    const auto spike = on_grid(mechanism, g);
    CHECK(spike[0] == -mechanism.integer_clip());
  }
}

TEST_CASE("where the rounding cannot stay within the bound it shrinks, and direction survives") {
  // d/12 units of squared rounding exceed the bound: 200 000 elements near one half against an integer clip of 64.
  const GridMechanism mechanism(200000, 1, stated(4), 8);
  std::vector<float> g(200000, static_cast<float>(mechanism.spacing()) * 0.6f);
  g[7] = 40 * static_cast<float>(mechanism.spacing());
  const auto k = on_grid(mechanism, g);
  CHECK(k[7] >= 1);
  CHECK(on_grid(mechanism, g) == k);
}

TEST_CASE("small vectors are rounded to nearest; NaN and infinity make zero; no elements are no elements") {
  const GridMechanism mechanism(4, 2, stated(1));
  const double s = mechanism.spacing();
  CHECK(s == 2.0 / 65536);
  const auto k =
      on_grid(mechanism, {static_cast<float>(2.4 * s), static_cast<float>(-2.6 * s), 0, static_cast<float>(9 * s)});
  CHECK(k == std::vector<std::int64_t>{2, -3, 0, 9});
  CHECK(on_grid(mechanism, {1, NAN, 0, 0}) == std::vector<std::int64_t>(4, 0));
  CHECK(on_grid(mechanism, {1, 0, -INFINITY, 0}) == std::vector<std::int64_t>(4, 0));
  CHECK(on_grid(mechanism, {0, 0, 0, 0}) == std::vector<std::int64_t>(4, 0));
  const GridMechanism empty(0, 1, stated(1));
  auto source = NoiseSource::reproducible(noise::Generator::chacha20, 1);
  std::vector<std::int64_t> nothing;
  empty.add({}, nothing);
  CHECK_NOTHROW(empty.privatise(nothing, source, {}));
  CHECK(empty.guarantee().epsilon == empty.calibration().epsilon().upper);
}

TEST_CASE("sums are the same in any order, wrap around, and agree between 32 and 64 bits") {
  const GridMechanism mechanism(50, 1, stated(0.7));
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> records(20, std::vector<float>(50));
  for (auto& g : records)
    for (float& x : g) x = normal(random);
  std::vector<std::int64_t> forward(50, 0), backward(50, 0), high(50, std::numeric_limits<std::int64_t>::max());
  std::vector<std::int32_t> narrow(50, std::numeric_limits<std::int32_t>::max());
  for (std::size_t r = 0; r < 20; ++r) {
    mechanism.add(records[r], forward);
    mechanism.add(records[19 - r], backward);
    mechanism.add(records[r], high);
    mechanism.add(records[r], narrow);
  }
  CHECK(forward == backward);
  auto one = NoiseSource::reproducible(noise::Generator::chacha20, 1);
  auto two = NoiseSource::reproducible(noise::Generator::chacha20, 1);
  auto three = NoiseSource::reproducible(noise::Generator::chacha20, 1);
  mechanism.privatise(forward, one, {});
  mechanism.privatise(high, two, {});
  mechanism.privatise(narrow, three, {});
  for (std::size_t i = 0; i < 50; ++i) {
    const auto truth = static_cast<std::uint64_t>(forward[i]);
    CHECK(static_cast<std::uint64_t>(high[i]) - truth ==
          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    CHECK(static_cast<std::uint32_t>(narrow[i]) - static_cast<std::uint32_t>(truth) == 0x7fffffffu);
  }
}

TEST_CASE("shards hold the noise of the whole; noise is used once") {
  const GridMechanism mechanism(100000, 1, stated(1));
  for (const auto generator : {noise::Generator::philox, noise::Generator::chacha12}) {
    std::vector<std::int64_t> whole(100000, 3), parts(100000, 3);
    auto one = NoiseSource::reproducible(generator, 9);
    auto two = NoiseSource::reproducible(generator, 9);
    mechanism.privatise(whole, one, {1, 2, 333});
    mechanism.privatise_shard(std::span(parts).subspan(5003), 5003, two, {1, 2, 333});
    mechanism.privatise_shard(std::span(parts).first(5003), 0, two, {1, 2, 333});
    CHECK(whole == parts);
    const auto before = whole;
    CHECK_THROWS_AS(mechanism.privatise(whole, one, {1, 2, 333}), noise::ReusedNoise);
    CHECK(whole == before);
  }
}

TEST_CASE("a release is unbiased with the variance stated") {
  const std::size_t d = 400000;
  const GridMechanism mechanism(d, 0.5, stated(2), 12);
  std::vector<std::int64_t> sum(d, 0);
  std::vector<float> record(d, 0), out(d);
  record[0] = 0.25f;
  mechanism.add(record, sum);
  CHECK(sum[0] == 1024);
  auto source = NoiseSource::reproducible(noise::Generator::chacha20, 5);
  mechanism.privatise(sum, source, {});
  CHECK(test::variance_fits(sum, 4096.0 * 4096 + 1.0 / 12, 2));
  mechanism.release(sum, out, 0.125);
  CHECK(mechanism.variance() == doctest::Approx(1.0).epsilon(1e-6));
  for (std::size_t i = 0; i < 100; ++i)
    CHECK(out[i] == static_cast<float>(static_cast<double>(sum[i]) * (mechanism.spacing() * 0.125)));
}

TEST_CASE("the charge: numbers of docs/math/grid-mechanism.md, monotone, and added to a certificate") {
  CHECK(noise::grid_charge(0, 5).epsilon == 0);
  CHECK(noise::grid_charge(1, 1).epsilon <= 1.6e-9);
  CHECK(noise::grid_charge(1e9, 1).epsilon == doctest::Approx(4.05e-5).epsilon(0.01));
  CHECK(noise::grid_charge(1e9, 1e5).epsilon == doctest::Approx(1.27e-2).epsilon(0.01));
  CHECK(noise::grid_charge(1e9, 1e5).delta <= 2e-30);
  CHECK(noise::grid_charge(1e9, 1, 12).epsilon == doctest::Approx(4.05e-5 / 16).epsilon(0.01));
  double before = 0;
  for (double n = 1; n < 1e18; n *= 3) {
    const noise::GridCharge charge = noise::grid_charge(n, 1);
    CHECK(charge.epsilon >= before);
    before = charge.epsilon;
  }
  const noise::Guarantee g = noise::with_charge(2, accounting::Delta(1e-6), {1e-3, 1e-20});
  CHECK(g.epsilon >= 2 + 2e-3);
  CHECK(g.delta >= 1e-6 * std::exp(1e-3) + 8e-20);
  CHECK(g.delta <= 1.0011e-6);
  CHECK(noise::with_charge(50, accounting::Delta(1e-6), noise::grid_charge(1e9, 1)).delta <= 1.0001e-6);
  CHECK(noise::with_charge(INFINITY, accounting::Delta(1e-6), {1e-3, 1e-20}).delta == 1);
  CHECK_THROWS_AS(noise::grid_charge(-1, 1), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::grid_charge(1e10, 1e10), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::grid_charge(1, 1, 17), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::with_charge(NAN, accounting::Delta(1e-6), {}), accounting::UnusableInput);
  const GridMechanism mechanism(1000000, 1, stated(10, {.count = 100}));
  const noise::Guarantee whole = mechanism.guarantee();
  CHECK(whole.epsilon > mechanism.calibration().epsilon().upper);
  CHECK(whole.epsilon < mechanism.calibration().epsilon().upper + 3e-5);
  CHECK(whole.delta > 1e-6);
  CHECK(whole.delta < 1.0001e-6);
}

TEST_CASE("what the grid refuses") {
  const auto good = stated(1);
  const auto laplace = noise::Calibration::laplace_stated(accounting::NoiseMultiplier(1), accounting::Delta(1e-6));
  CHECK_THROWS_AS(GridMechanism(1, 0, good), accounting::UnusableInput);
  CHECK_THROWS_AS(GridMechanism(1, NAN, good), accounting::UnusableInput);
  CHECK_THROWS_AS(GridMechanism(1, 1, good, 7), accounting::UnusableInput);
  CHECK_THROWS_AS(GridMechanism(1, 1, good, 17), accounting::UnusableInput);
  CHECK_THROWS_AS(GridMechanism(1, 1, laplace), accounting::UnusableInput);
  CHECK_THROWS_AS(GridMechanism(1, 1, stated(300), 8), accounting::UnusableInput);
  const GridMechanism mechanism(3, 1, good);
  std::vector<float> two(2), three(3);
  std::vector<std::int64_t> sum(3);
  auto source = NoiseSource::reproducible(noise::Generator::chacha20, 5);
  CHECK_THROWS_AS(mechanism.add(two, sum), accounting::UnusableInput);
  CHECK_THROWS_AS(mechanism.privatise(std::span(sum).first(2), source, {}), accounting::UnusableInput);
  CHECK_THROWS_AS(mechanism.privatise_shard(sum, 1, source, {}), accounting::UnusableInput);
  CHECK_THROWS_AS(mechanism.privatise_shard(sum, 0, source, {0, 0, ~std::uint64_t{0}}), accounting::UnusableInput);
  CHECK_THROWS_AS(mechanism.release(sum, three, NAN), accounting::UnusableInput);
}
