// Poisson batches: the declared rate, the same records for every shard, every step once.
#include "dpflash/noise/sampling.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "draw/chacha.hpp"
#include "draw/draws.hpp"

using namespace dpflash;
using accounting::SamplingRate;
using noise::Generator;
using noise::NoiseSource;
using noise::poisson_batch;

TEST_CASE("a batch holds the declared share of the records") {
  for (const Generator generator : {Generator::philox, Generator::chacha12, Generator::chacha20})
    for (const double rate : {0.001, 0.03, 0.5, 0.999}) {
      auto source = NoiseSource::reproducible(generator, 11);
      const std::uint64_t count = 1000003;
      const double drawn = static_cast<double>(poisson_batch(source, {1, 2, 0}, count, SamplingRate(rate)).size());
      const double deviation = std::sqrt(static_cast<double>(count) * rate * (1 - rate));
      CHECK(std::abs(drawn - static_cast<double>(count) * rate) < 5 * deviation);
    }
}

TEST_CASE("records are in independently of each other, from step to step and from stream to stream") {
  auto source = NoiseSource::reproducible(Generator::chacha12, 12);
  const std::uint64_t count = 200000;
  std::vector<std::vector<bool>> in;
  for (const noise::Position position : {noise::Position{0, 0, 0}, {0, 1, 0}, {1, 0, 0}}) {
    in.emplace_back(count, false);
    for (const std::uint64_t record : poisson_batch(source, position, count, SamplingRate(0.25)))
      in.back()[record] = true;
  }
  const auto check = [&](auto both) {
    double pairs = 0;
    for (std::uint64_t i = 0; i + 1 < count; ++i) pairs += both(i) ? 1 : 0;
    CHECK(std::abs(pairs - static_cast<double>(count) / 16) < 5 * std::sqrt(static_cast<double>(count) / 16));
  };
  check([&](std::uint64_t i) { return in[0][i] && in[0][i + 1]; });
  check([&](std::uint64_t i) { return in[0][i] && in[1][i]; });
  check([&](std::uint64_t i) { return in[0][i] && in[2][i]; });
}

TEST_CASE("every shard finds its own part of the same batch") {
  for (const Generator generator : {Generator::philox, Generator::chacha20}) {
    auto whole = NoiseSource::reproducible(generator, 13);
    const auto batch = poisson_batch(whole, {4, 5, 100}, 70001, SamplingRate(0.1));
    for (const std::uint64_t cut : {1u, 7u, 16384u, 60000u}) {
      auto shard = NoiseSource::reproducible(generator, 13);
      const auto high = poisson_batch(shard, {4, 5, 100 + cut}, 70001 - cut, SamplingRate(0.1));
      auto both = poisson_batch(shard, {4, 5, 100}, cut, SamplingRate(0.1));
      both.insert(both.end(), high.begin(), high.end());
      CHECK(both == batch);
    }
  }
}

TEST_CASE("a record is in when its word is below the rate, exactly") {
  auto source = NoiseSource::reproducible(Generator::chacha20, 14);
  std::uint32_t words[16];
  draw::ChaCha<20>::block(draw::ChaCha<20>::expand(noise::key_words(source)),
                          draw::counter_of(3, draw::Use::poisson_batch, 0, 9, 8), words);
  for (std::uint64_t i = 0; i < 8; ++i) {
    const std::uint64_t word = (std::uint64_t{words[2 * i]} << 32) | words[2 * i + 1];
    // The 53-bit rate just at or below the word leaves the record out, the next one takes it in.
    const double at = std::ldexp(static_cast<double>(word >> 11), -53);
    const auto taken = [&](double rate) {
      auto again = NoiseSource::reproducible(Generator::chacha20, 14);
      return poisson_batch(again, {8, 9, 24 + i}, 1, SamplingRate(rate)).size();
    };
    CHECK(taken(at) == 0);
    CHECK(taken(at + 0x1p-53) == 1);
  }
}

TEST_CASE("rate one takes all, a rate below 2^-64 none, no record no batch") {
  auto source = NoiseSource::reproducible(Generator::philox, 15);
  CHECK(poisson_batch(source, {0, 0, 5}, 1000, SamplingRate(1)).size() == 1000);
  CHECK(poisson_batch(source, {0, 1, 5}, 1000, SamplingRate(1e-20)).empty());
  CHECK(poisson_batch(source, {0, 2, 5}, 0, SamplingRate(1)).empty());
}

TEST_CASE("a step's batch is drawn once") {
  auto source = NoiseSource::from_entropy();
  poisson_batch(source, {0, 0, 0}, 1000, SamplingRate(0.5));
  CHECK_THROWS_AS(poisson_batch(source, {0, 0, 999}, 1, SamplingRate(0.5)), noise::ReusedNoise);
  poisson_batch(source, {0, 1, 0}, 1000, SamplingRate(0.5));
  CHECK_THROWS_AS(poisson_batch(source, {0, 2, ~0ull}, 2, SamplingRate(0.5)), std::invalid_argument);
}
