// Clipped, noised and averaged gradients; adaptive norms and what they cost.
#include "dpflash/noise/private_gradient.hpp"

#include <doctest/doctest.h>
#ifdef __linux__
#include <sched.h>
#endif

#include <cmath>
#include <cstdint>
#include <dpflash/accounting/accountant.hpp>
#include <random>
#include <utility>
#include <vector>

#include "dpflash/noise/adaptive_clipping.hpp"
#include "dpflash/noise/sampling.hpp"

using namespace dpflash;
using noise::Calibration;
using noise::Clipping;
using noise::Generator;
using noise::Isotropic;
using noise::NoiseSource;
using noise::PrivateGradient;
using noise::TensorRows;

namespace {

const std::vector<std::uint64_t> kWidths = {3000, 1, 0, 4500, 77};
constexpr std::uint64_t kParameters = 7578;
constexpr std::uint64_t kExamples = 25;

struct Gradients {
  std::vector<std::vector<float>> data;
  std::vector<TensorRows> tensors;

  explicit Gradients(bool layers) {
    std::mt19937 engine(7);
    std::normal_distribution<float> normal;
    for (std::size_t t = 0; t < kWidths.size(); ++t) {
      data.emplace_back(kWidths[t] * kExamples);
      for (float& g : data[t]) g = normal(engine);
      tensors.push_back({data[t].data(), kWidths[t], 0, 0, layers ? static_cast<std::uint32_t>(t) : 0});
    }
    noise::place_in_order(tensors);
  }
};

struct Output {
  std::vector<std::vector<float>> values;
  std::vector<std::span<float>> spans;
  Output() {
    for (const std::uint64_t width : kWidths) values.emplace_back(width, -7.0f);
    spans.assign(values.begin(), values.end());
  }
};

Calibration stated(double multiplier) {
  return Calibration::gaussian_stated(accounting::NoiseMultiplier(multiplier), accounting::Delta(1e-5));
}

PrivateGradient flat(double norm = 0.5, double multiplier = 1.5) {
  return {Clipping::flat(norm), Isotropic(kParameters, norm, stated(multiplier)), 32};
}

}  // namespace

TEST_CASE("a release is the clipped sum and the draws at the tensors' places, over the declared batch") {
  const Gradients gradients(false);
  const PrivateGradient release = flat();
  for (const std::uint64_t batch : {kExamples, std::uint64_t{0}}) {
    auto source = NoiseSource::reproducible(Generator::chacha12, 1);
    Output out;
    std::vector<float> factors(batch);
    release.release({gradients.tensors, batch}, source, {1, 2, 1000}, out.spans, factors);
    std::vector<float> z(kParameters);
    NoiseSource::reproducible(Generator::chacha12, 1).normal(z, {1, 2, 1000});
    for (std::size_t t = 0; t < kWidths.size(); ++t)
      for (std::uint64_t j = 0; j < kWidths[t]; ++j) {
        double sum = 0;
        for (std::uint64_t b = 0; b < batch; ++b)
          sum = std::fma(static_cast<double>(factors[b]), static_cast<double>(gradients.data[t][b * kWidths[t] + j]),
                         sum);
        const double noise =
            static_cast<double>(release.scale(0)) * static_cast<double>(z[gradients.tensors[t].offset + j]);
        REQUIRE(out.values[t][j] == static_cast<float>((sum + noise) / 32));
      }
  }
  CHECK(static_cast<double>(release.scale(0)) >= 0.75);
  CHECK(static_cast<double>(release.scale(0)) < 0.75 * (1 + 1e-6));
}

#ifdef __linux__
TEST_CASE("one thread releases, and samples, what several do") {
  const Gradients gradients(false);
  const auto run = [&] {
    auto source = NoiseSource::reproducible(Generator::philox, 2);
    Output out;
    flat().release({gradients.tensors, kExamples}, source, {}, out.spans);
    const auto batch = noise::poisson_batch(source, {9, 0, 3}, 300000, accounting::SamplingRate(0.2));
    return std::make_pair(out.values, batch);
  };
  const auto several = run();
  cpu_set_t all, one;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  // The library starts as many threads as there are processors for this one.
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  const auto alone = run();
  REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
  CHECK(alone == several);
}
#endif

TEST_CASE("microbatches and shards release what the whole batch does") {
  const Gradients gradients(false);
  const PrivateGradient release = flat();
  auto source = NoiseSource::reproducible(Generator::philox, 3);
  Output whole, parts, shards;
  std::vector<float> factors(kExamples);
  release.release({gradients.tensors, kExamples}, source, {}, whole.spans, factors);

  std::vector<std::vector<double>> sums;
  for (const std::uint64_t width : kWidths) sums.emplace_back(width, 0.0);
  for (const std::uint64_t begin : {0u, 10u}) {
    std::vector<TensorRows> tensors = gradients.tensors;
    for (TensorRows& tensor : tensors) tensor.data += begin * tensor.width;
    const std::uint64_t count = begin == 0 ? 10 : kExamples - 10;
    noise::add_clipped({tensors, count}, std::span(factors).subspan(begin, count), 1,
                       std::vector<std::span<double>>(sums.begin(), sums.end()));
  }
  const std::vector<std::span<const double>> gathered(sums.begin(), sums.end());
  auto second = NoiseSource::reproducible(Generator::philox, 3);
  release.finish(gradients.tensors, gathered, second, {}, parts.spans);
  CHECK(parts.values == whole.values);

  auto third = NoiseSource::reproducible(Generator::philox, 3);
  for (const std::size_t t : {4u, 0u, 3u, 2u, 1u})
    release.finish(std::span(gradients.tensors).subspan(t, 1), std::span(gathered).subspan(t, 1), third, {},
                   std::span(shards.spans).subspan(t, 1));
  CHECK(shards.values == whole.values);
}

TEST_CASE("layers have their own norms and noise") {
  Gradients gradients(true);
  gradients.tensors.erase(gradients.tensors.begin() + 2);  // An empty tensor is no block.
  std::vector<noise::Block> blocks;
  std::vector<double> norms = {0.5, 0.1, 2, 1};
  for (std::size_t t = 0; t < 4; ++t) {
    gradients.tensors[t].layer = static_cast<std::uint32_t>(t);
    blocks.push_back({gradients.tensors[t].width, norms[t]});
  }
  const noise::BlockDiagonal mechanism(blocks, noise::Allocation::same_share, stated(2));
  const PrivateGradient release(Clipping::per_layer(norms), mechanism, 1);
  double cost = 0;
  for (std::uint32_t l = 0; l < 4; ++l) cost += std::pow(norms[l] / static_cast<double>(release.scale(l)), 2);
  CHECK(std::sqrt(cost) <= 0.5);
  CHECK(std::sqrt(cost) > 0.4999);
  auto source = NoiseSource::reproducible(Generator::philox, 4);
  Output out;
  out.spans.erase(out.spans.begin() + 2);
  release.release({gradients.tensors, kExamples}, source, {}, out.spans);
  CHECK(out.values[4][76] != -7.0f);

  norms[1] = 0.2;
  CHECK_THROWS_AS(PrivateGradient(Clipping::per_layer(norms), mechanism, 1), std::invalid_argument);
  CHECK_THROWS_AS(PrivateGradient(Clipping::flat(0.1), mechanism, 1), std::invalid_argument);
  std::swap(gradients.tensors[0].layer, gradients.tensors[3].layer);
  CHECK_THROWS_AS(release.release({gradients.tensors, kExamples}, source, {0, 1, 0}, out.spans), std::invalid_argument);
}

TEST_CASE("noise is used once, and nothing is written when a release is refused") {
  const Gradients gradients(false);
  const PrivateGradient release = flat();
  auto source = NoiseSource::from_entropy();
  Output out;
  release.release({gradients.tensors, kExamples}, source, {0, 1, 0}, out.spans);
  Output untouched;
  CHECK_THROWS_AS(release.release({gradients.tensors, kExamples}, source, {0, 1, 0}, untouched.spans),
                  noise::ReusedNoise);
  std::vector<TensorRows> same = gradients.tensors;
  same[4].offset = same[0].offset;
  CHECK_THROWS_AS(release.release({same, kExamples}, source, {0, 2, 0}, untouched.spans), std::invalid_argument);
  same[4].offset = kParameters;
  CHECK_THROWS_AS(release.release({same, kExamples}, source, {0, 2, 0}, untouched.spans), std::invalid_argument);
  untouched.spans.pop_back();
  CHECK_THROWS_AS(release.release({gradients.tensors, kExamples}, source, {0, 2, 0}, untouched.spans),
                  std::invalid_argument);
  CHECK(untouched.values == Output().values);
}

TEST_CASE("a clipping beyond the mechanism's norm is refused, and a denominator that is no number") {
  const Isotropic mechanism(kParameters, 1, stated(1));
  CHECK_THROWS_AS(PrivateGradient(Clipping::flat(1.0000001), mechanism, 1), std::invalid_argument);
  CHECK_THROWS_AS(PrivateGradient(Clipping::per_layer({0.8, 0.8}), mechanism, 1), std::invalid_argument);
  for (const double bad : {0.0, -64.0, std::nan(""), HUGE_VAL})
    CHECK_THROWS_AS(PrivateGradient(Clipping::flat(1), mechanism, bad), std::invalid_argument);
  PrivateGradient(Clipping::per_layer_equal(1, 7), mechanism, 1);
  PrivateGradient(Clipping::automatic(1), mechanism, 1);
}

TEST_CASE("adaptive clipping: gradients and count together cost one Gaussian of the calibration's noise") {
  for (const double z : {0.3, 1.0, 2.5}) {
    const Calibration joint = stated(z);
    for (const double times : {0.501, 0.6, 1.0, 3.0, 50.0}) {
      noise::AdaptiveOptions options;
      options.count_noise = times * z;
      options.first_norm = 0.37;
      const noise::AdaptiveClipping adaptive(options, 64, joint);
      const double left = adaptive.gradient_multiplier();
      const long double mu2 =
          1 / (static_cast<long double>(left) * left) + 1 / (4.0L * adaptive.count_noise() * adaptive.count_noise());
      CHECK(mu2 <= 1 / (static_cast<long double>(z) * z));
      CHECK(mu2 >= 1 / (static_cast<long double>(z) * z) * (1 - 1e-8L));
      CHECK(static_cast<double>(adaptive.mechanism(10).scale()) >= left * 0.37);
      CHECK(static_cast<double>(adaptive.mechanism(10).scale()) <= left * 0.37 * (1 + 3e-7));
      // The accountant, asked about the two Gaussians one after the other.
      accounting::Plan plan;
      plan.events = {{accounting::Gaussian{left}}, {accounting::Gaussian{2 * adaptive.count_noise()}}};
      const auto apart = accounting::certified_epsilon(plan, accounting::Delta(1e-5)).bracket;
      CHECK(apart.lower <= joint.epsilon().upper);
      CHECK(apart.upper <= joint.epsilon().upper * (1 + 1e-6));
      CHECK(apart.upper >= joint.epsilon().lower * (1 - 1e-6));
    }
  }
}

TEST_CASE("adaptive clipping: the norm follows the quantile") {
  noise::AdaptiveOptions options;
  options.quantile = 0.3;
  noise::AdaptiveClipping adaptive(options, 1000, stated(1));
  CHECK(adaptive.count_noise() == 50);
  std::mt19937 engine(8);
  std::uniform_real_distribution<double> uniform(0, 20);
  auto source = NoiseSource::reproducible(Generator::philox, 9);
  for (std::uint32_t step = 0; step < 300; ++step) {
    std::vector<double> squares(1000);
    for (double& square : squares) square = std::pow(uniform(engine), 2);
    std::vector<float> factors(1000);
    adaptive.clipping().factors(squares, factors);
    CHECK(std::abs(adaptive.update(factors, source, {0, step, 0}) - std::min(1.0, adaptive.norm() / 20)) < 0.5);
  }
  CHECK(adaptive.norm() == doctest::Approx(6).epsilon(0.2));
  CHECK_THROWS_AS(adaptive.update(std::vector<float>{1}, source, {0, 0, 0}), noise::ReusedNoise);
  CHECK_THROWS_AS(adaptive.update(std::vector<float>{1.5f}, source, {0, 1000, 0}), std::invalid_argument);
}

TEST_CASE("adaptive clipping refuses a count that costs more than all, and other values out of range") {
  const auto make = [](auto change) {
    noise::AdaptiveOptions options;
    options.count_noise = 10;
    change(options);
    return noise::AdaptiveClipping(options, 64, stated(2));
  };
  make([](auto&) {});
  for (const double bad : {1.0, 0.5, -10.0, std::nan(""), HUGE_VAL, 1.0000001})
    CHECK_THROWS_AS(make([&](auto& o) { o.count_noise = bad; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](auto& o) { o.quantile = 1; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](auto& o) { o.first_norm = 0; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](auto& o) { o.learning_rate = std::nan(""); }), std::invalid_argument);
  CHECK_THROWS_AS(make([](auto& o) { o.largest = HUGE_VAL; }), std::invalid_argument);
  const auto laplace = Calibration::laplace_stated(accounting::NoiseMultiplier(1), accounting::Delta(1e-5));
  CHECK_THROWS_AS(noise::AdaptiveClipping({}, 64, laplace), std::invalid_argument);
}
