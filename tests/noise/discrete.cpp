// Integer noise has exactly its law. Chi-square tests use fixed seeds; each fails a right sampler with probability
// 1e-6.
#include "dpflash/noise/discrete.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <limits>
#include <map>
#include <vector>

#include "chi_square.hpp"
#include "discrete/samplers.hpp"

using namespace dpflash;
using noise::Fraction;
using noise::Generator;
using noise::NoiseSource;

namespace {

template <class Sampler>
std::vector<std::int64_t> draws_of(std::uint64_t seed, std::size_t count, const Sampler& sample) {
  const auto source = NoiseSource::reproducible(Generator::chacha12, seed);
  noise::discrete::WordStream words(source, 0, 0);
  std::vector<std::int64_t> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    words.start(i);
    out[i] = sample(words);
  }
  return out;
}

noise::Calibration gaussian(double multiplier) {
  return noise::Calibration::discrete_gaussian_stated(accounting::NoiseMultiplier(multiplier), accounting::Delta(1e-6));
}

noise::Calibration laplace(double multiplier) {
  return noise::Calibration::discrete_laplace_stated(accounting::NoiseMultiplier(multiplier), accounting::Delta(1e-6));
}

}  // namespace

TEST_CASE("exp(-a/b) coins fall as often as they should") {
  constexpr std::size_t n = 200000;
  const std::pair<unsigned, unsigned> ratios[] = {{0, 1}, {1, 7}, {1, 1}, {5, 2}, {9, 4}};
  for (const auto& [a, b] : ratios) {
    const auto coins = draws_of(a + b, n, [&, a = a, b = b](noise::discrete::WordStream& words) -> std::int64_t {
      return noise::discrete::bernoulli_exp(words, a, b) ? 1 : 0;
    });
    double ones = 0;
    for (const std::int64_t c : coins) ones += static_cast<double>(c);
    const double p = std::exp(-static_cast<double>(a) / b);
    // 4.9 standard deviations: probability 1e-6.
    CHECK(std::abs(ones - n * p) <= 4.9 * std::sqrt(n * p * (1 - p)));
  }
}

TEST_CASE("uniform integers below n are uniform, for n of any length") {
  for (const unsigned n : {1u, 2u, 3u, 10u, 64u, 100u}) {
    const auto u = draws_of(
        n, 100000, [&](noise::discrete::WordStream& words) { return static_cast<std::int64_t>(words.below(n)); });
    CHECK(test::chi_square_fits(u, [&](std::int64_t k) { return k >= 0 && k < n ? 1.0 / n : 0.0; }));
  }
  // 2^100 + 1: the top word is 0 about half of the time, and no value is out of range.
  const noise::discrete::Wide wide = (noise::discrete::Wide{1} << 100) + 1;
  const auto half = draws_of(5, 20000, [&](noise::discrete::WordStream& words) -> std::int64_t {
    const auto value = words.below(wide);
    REQUIRE(value < wide);
    return value < (wide >> 1) ? 0 : 1;
  });
  CHECK(test::chi_square_fits(half, [](std::int64_t k) { return k == 0 || k == 1 ? 0.5 : 0.0; }));
}

TEST_CASE("discrete Laplace draws follow exp(-|k|/scale)") {
  for (const Fraction scale : {Fraction{1, 8}, {1, 2}, {1, 1}, {7, 3}, {40, 1}, {1234567, 1000}}) {
    const double t = static_cast<double>(scale.numerator) / static_cast<double>(scale.denominator);
    const auto draws = draws_of(
        11, 200000, [&](noise::discrete::WordStream& words) { return noise::discrete::laplace(words, scale); });
    CHECK(test::chi_square_fits(
        draws, [&](std::int64_t k) { return std::tanh(0.5 / t) * std::exp(-std::abs(static_cast<double>(k)) / t); }));
    if (t >= 1) CHECK(test::variance_fits(draws, noise::discrete_laplace_variance(t), 6));
  }
}

TEST_CASE("discrete Gaussian draws follow exp(-k^2/(2 sigma^2))") {
  for (const Fraction s2 : {Fraction{1, 100}, {1, 16}, {1, 2}, {1, 1}, {17, 3}, {400, 1}, {1000001, 100}}) {
    const double v = static_cast<double>(s2.numerator) / static_cast<double>(s2.denominator);
    double mass = 0;
    for (int k = -2000; k <= 2000; ++k) mass += std::exp(-k * static_cast<double>(k) / (2 * v));
    const auto draws =
        draws_of(12, 200000, [&](noise::discrete::WordStream& words) { return noise::discrete::gaussian(words, s2); });
    CHECK(test::chi_square_fits(draws, [&](std::int64_t k) {
      return std::exp(-static_cast<double>(k) * static_cast<double>(k) / (2 * v)) / mass;
    }));
    if (v >= 0.5) CHECK(test::variance_fits(draws, noise::discrete_gaussian_variance(std::sqrt(v)), 2));
  }
}

TEST_CASE("large parameters: bins of equal mass") {
  const double sigma = 1e6;
  const auto draws = draws_of(13, 200000, [&](noise::discrete::WordStream& words) {
    // Which of 64 bins of equal probability of the continuous law: cells are 1e-6 wide, far below the test's power.
    const auto k = static_cast<double>(noise::discrete::gaussian(words, {1000000000000u, 1}));
    return static_cast<std::int64_t>(std::min(63.0, 32 * std::erfc(-k / sigma / std::sqrt(2.0))));
  });
  CHECK(test::chi_square_fits(draws, [](std::int64_t k) { return k >= 0 && k < 64 ? 1.0 / 64 : 0.0; }));
  const auto far = draws_of(14, 100000, [&](noise::discrete::WordStream& words) {
    return noise::discrete::laplace(words, {std::uint64_t{1} << 20, 1});
  });
  CHECK(test::variance_fits(far, noise::discrete_laplace_variance(0x1p20), 6));
}

TEST_CASE("variances agree with their series") {
  for (const double s : {0.1, 0.3, 0.9, 0.9999999, 1.0, 1.3, 4.0}) {
    long double mass = 1;
    long double moment = 0;
    long double laplace_mass = 1;
    long double laplace_moment = 0;
    for (int k = 1; k < 400; ++k) {
      const auto x = static_cast<long double>(k);
      const long double q = 2 * std::exp(-x * x / (2 * static_cast<long double>(s) * s));
      mass += q;
      moment += q * x * x;
      const long double l = 2 * std::exp(-x / static_cast<long double>(s));
      laplace_mass += l;
      laplace_moment += l * x * x;
    }
    CHECK(noise::discrete_gaussian_variance(s) == doctest::Approx(static_cast<double>(moment / mass)).epsilon(1e-13));
    CHECK(noise::discrete_laplace_variance(s) ==
          doctest::Approx(static_cast<double>(laplace_moment / laplace_mass)).epsilon(1e-13));
    CHECK(noise::discrete_gaussian_variance(s) <= s * s);
  }
  CHECK_THROWS_AS(noise::discrete_gaussian_variance(0), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::discrete_laplace_variance(std::numeric_limits<double>::infinity()), accounting::UnusableInput);
}

TEST_CASE("fractions are never below the number they stand for, and at most 2^-29 above") {
  for (const double value : {0.001, 0.1, 0.7071067811865476, 1.0, 1.0000000000000002, 3.7, 1e3, 1e6}) {
    for (const int power : {1, 2}) {
      const Fraction f = noise::discrete::fraction_above(value, 1, power, "x");
      const long double exact = power == 1 ? static_cast<long double>(value) : static_cast<long double>(value) * value;
      const long double got = static_cast<long double>(f.numerator) / static_cast<long double>(f.denominator);
      // The fraction has a denominator of 2^k: the quotient is exact, the square within 2^-64 of itself.
      CHECK(got >= exact * (1 - 0x1p-63L));
      CHECK(got <= exact * (1 + 0x1p-29L));
      CHECK_NOTHROW(noise::discrete::check(f, "x"));
    }
  }
  const Fraction seven = noise::discrete::fraction_above(3.5, 2, 2, "x");
  CHECK(seven.numerator == 49 * seven.denominator);
  CHECK_THROWS_AS(noise::discrete::fraction_above(1e-4, 1, 2, "x"), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::discrete::fraction_above(2.0, 1 << 20, 2, "x"), accounting::UnusableInput);
}

TEST_CASE("shards of a vector hold the noise of the whole, with every generator") {
  const noise::DiscreteGaussian mechanism(3000, 5, gaussian(2));
  const noise::DiscreteLaplace other(3000, 5, laplace(2));
  for (const Generator generator : {Generator::philox, Generator::chacha12, Generator::chacha20}) {
    std::vector<std::int64_t> whole(3000, 7), parts(3000, 7), second(3000, 7), second_parts(3000, 7);
    auto one = NoiseSource::reproducible(generator, 3);
    mechanism.privatise(whole, one, {1, 2, 10});
    other.privatise(second, one, {1, 3, 10});
    auto two = NoiseSource::reproducible(generator, 3);
    mechanism.privatise_shard(std::span(parts).subspan(1234), 1234, two, {1, 2, 10});
    mechanism.privatise_shard(std::span(parts).first(1234), 0, two, {1, 2, 10});
    other.privatise_shard(std::span(second_parts).subspan(999), 999, two, {1, 3, 10});
    other.privatise_shard(std::span(second_parts).first(999), 0, two, {1, 3, 10});
    CHECK(whole == parts);
    CHECK(second == second_parts);
  }
}

TEST_CASE("a mechanism's noise has the variance it states, and is used once") {
  const noise::DiscreteGaussian mechanism(100000, 3, gaussian(1.5));
  CHECK(mechanism.sigma_squared().numerator >= mechanism.sigma_squared().denominator * 20);
  CHECK(mechanism.variance() == doctest::Approx(20.25).epsilon(1e-8));
  std::vector<std::int64_t> values(100000, 0);
  auto source = NoiseSource::reproducible(Generator::chacha20, 4);
  mechanism.privatise(values, source, {});
  CHECK(test::variance_fits(values, mechanism.variance(), 2));
  const auto before = values;
  CHECK_THROWS_AS(mechanism.privatise(values, source, {}), noise::ReusedNoise);
  CHECK(values == before);
}

TEST_CASE("sums wrap around and come back") {
  const noise::DiscreteLaplace mechanism(64, 1, laplace(100));
  std::vector<std::int64_t> high(64, std::numeric_limits<std::int64_t>::max()), zero(64, 0);
  auto one = NoiseSource::reproducible(Generator::chacha20, 4);
  auto two = NoiseSource::reproducible(Generator::chacha20, 4);
  mechanism.privatise(high, one, {});
  mechanism.privatise(zero, two, {});
  for (std::size_t i = 0; i < 64; ++i)
    CHECK(static_cast<std::uint64_t>(high[i]) - static_cast<std::uint64_t>(zero[i]) ==
          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
}

TEST_CASE("what a discrete mechanism refuses") {
  CHECK_THROWS_AS(noise::DiscreteGaussian(4, 1, laplace(1)), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::DiscreteLaplace(4, 1, gaussian(1)), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::DiscreteGaussian(4, 0, gaussian(1)), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::DiscreteGaussian(4, 1 << 21, gaussian(1)), accounting::UnusableInput);
  const noise::DiscreteGaussian mechanism(4, 1, gaussian(1));
  auto source = NoiseSource::reproducible(Generator::philox, 1);
  std::vector<std::int64_t> five(5), four(4);
  CHECK_THROWS_AS(mechanism.privatise(five, source, {}), accounting::UnusableInput);
  CHECK_THROWS_AS(mechanism.privatise_shard(four, 1, source, {}), accounting::UnusableInput);
  CHECK_THROWS_AS(mechanism.privatise(four, source, {0, 0, std::uint64_t{1} << 40}), accounting::UnusableInput);
  CHECK_NOTHROW(mechanism.privatise(four, source, {}));
}
