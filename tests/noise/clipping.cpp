// Clipped contributions never exceed the norm, sums are what the header defines, for any number of threads.
#include "dpflash/noise/clipping.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "clip/clip.hpp"

using namespace dpflash;
using noise::Clipping;
using noise::PerExampleGradients;
using noise::TensorRows;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Tensors of the given widths and their memory, filled by `value`.
struct Batch {
  std::vector<std::vector<float>> data;
  std::vector<TensorRows> tensors;
  std::uint64_t batch;

  template <class Value>
  Batch(std::uint64_t examples, const std::vector<std::uint64_t>& widths, std::uint64_t gap, Value value)
      : batch(examples) {
    for (const std::uint64_t width : widths) {
      std::vector<float> rows((width + gap) * examples + 1, kNan);
      for (std::uint64_t b = 0; b < examples; ++b)
        for (std::uint64_t j = 0; j < width; ++j) rows[b * (width + gap) + j] = value(b);
      data.push_back(std::move(rows));
    }
    for (std::size_t t = 0; t < widths.size(); ++t)
      tensors.push_back({data[t].data(), widths[t], gap == 0 ? 0 : widths[t] + gap, 0, static_cast<std::uint32_t>(t)});
    noise::place_in_order(tensors);
  }
  Batch& one_layer() {
    for (TensorRows& tensor : tensors) tensor.layer = 0;
    return *this;
  }
  [[nodiscard]] PerExampleGradients view() const { return {tensors, batch}; }
  [[nodiscard]] float at(std::size_t t, std::uint64_t b, std::uint64_t j) const {
    const std::uint64_t stride = tensors[t].stride == 0 ? tensors[t].width : tensors[t].stride;
    return tensors[t].data[b * stride + j];
  }
  [[nodiscard]] long double squared(std::uint64_t b) const {
    long double sum = 0;
    for (std::size_t t = 0; t < tensors.size(); ++t)
      for (std::uint64_t j = 0; j < tensors[t].width; ++j) {
        const long double g = at(t, b, j);
        sum += g * g;
      }
    return sum;
  }
};

std::vector<float> factors_of(const PerExampleGradients& gradients, const Clipping& clipping) {
  std::vector<double> norms(gradients.batch * clipping.layers());
  std::vector<float> factors(norms.size());
  noise::squared_norms(gradients, clipping.layers(), norms);
  clipping.factors(norms, factors);
  return factors;
}

}  // namespace

TEST_CASE("squared norms agree with long double, for odd sizes, many tensors and strides") {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  for (const std::uint64_t gap : {0u, 5u}) {
    Batch batch(7, {1, 31, 32, 33, 0, 1023, 1024, 1025, 40001, 3}, gap,
                [&](std::uint64_t b) { return std::ldexp(normal(engine), static_cast<int>(b) * 40 - 120); });
    batch.one_layer();
    std::vector<double> norms(7);
    noise::squared_norms(batch.view(), 1, norms);
    for (std::uint64_t b = 0; b < 7; ++b) {
      const long double exact = batch.squared(b);
      CHECK(std::abs(static_cast<long double>(norms[b]) - exact) <= exact * 0x1p-37L);
    }
  }
}

TEST_CASE("norms are those of the order that the header defines") {
  std::mt19937 engine(2);
  std::uniform_real_distribution<float> uniform(-3, 3);
  const std::uint64_t width = 1024 * 1024 + 1024 * 3 + 77;
  Batch batch(1, {width}, 0, [&](std::uint64_t) { return uniform(engine); });
  std::vector<double> level(width);
  for (std::uint64_t j = 0; j < width; ++j) level[j] = static_cast<double>(batch.at(0, 0, j)) * batch.at(0, 0, j);
  while (level.size() > 1) {
    std::vector<double> next;
    for (std::size_t begin = 0; begin < level.size(); begin += 1024) {
      double lane[32] = {};
      for (std::size_t i = begin; i < std::min(level.size(), begin + 1024); ++i) lane[(i - begin) % 32] += level[i];
      for (int half = 16; half > 0; half /= 2)
        for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
      next.push_back(lane[0]);
    }
    level = next;
  }
  std::vector<double> norms(1);
  noise::squared_norms(batch.view(), 1, norms);
  CHECK(norms[0] == level[0]);
}

TEST_CASE("a contribution never exceeds the norm, where naive factors do") {
  std::mt19937 engine(3);
  std::uniform_real_distribution<double> uniform(0.5, 2);
  int naive_exceeds = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    const std::uint64_t width = 1 + engine() % 300;
    const double scale = std::ldexp(uniform(engine), static_cast<int>(engine() % 200) - 100);
    Batch batch(1, {width}, 0, [&](std::uint64_t) { return static_cast<float>(uniform(engine) * scale); });
    const double norm = static_cast<double>(std::sqrt(batch.squared(0))) * uniform(engine) * 0.5;
    if (norm < 1e-30 || norm > 1e30) continue;
    const auto contribution = [&](float factor) {
      return static_cast<long double>(factor) * std::sqrt(batch.squared(0));
    };
    const float factor = factors_of(batch.view(), Clipping::flat(norm))[0];
    CHECK(contribution(factor) <= static_cast<long double>(norm) * (1 - 0x1p-13L));
    // Near enough to the norm that the charge is all that is lost.
    CHECK(contribution(factor) >= static_cast<long double>(norm) * (1 - 0x1.1p-13L));
    const auto naive = static_cast<float>(norm / static_cast<double>(std::sqrt(batch.squared(0))));
    naive_exceeds += contribution(naive) > static_cast<long double>(norm) ? 1 : 0;
  }
  CHECK(naive_exceeds > 500);
}

TEST_CASE("the smallest and largest gradients neither under- nor overflow") {
  for (const float value : {1e-45f, 1e-38f, 1e-20f, 1e20f, 3.4e38f}) {
    Batch batch(1, {1000}, 0, [&](std::uint64_t) { return value; });
    const long double length = std::sqrt(batch.squared(0));
    for (const double norm : {1e-30, 1.0, 1e30}) {
      const float factor = factors_of(batch.view(), Clipping::flat(norm))[0];
      CHECK(factor * length <= norm);
      // Factors below the smallest normal float become zero.
      if (norm / length > 2e-38L) CHECK(factor * length >= std::min<long double>(length, norm) * (1 - 0x1.1p-13L));
    }
  }
}

TEST_CASE("examples that are not finite contribute nothing, zero rows stay") {
  const std::vector<float> rows = {1, 2, kNan, 1, kInf, 0, -kInf, kInf, 0, 0, 3, 4};
  const std::vector<TensorRows> tensors = {{rows.data(), 2}};
  const PerExampleGradients gradients{tensors, 6};
  for (const Clipping& clipping : {Clipping::flat(100), Clipping::automatic(100, 0.01)}) {
    const std::vector<float> factors = factors_of(gradients, clipping);
    for (const int b : {1, 2, 3}) CHECK(factors[static_cast<std::size_t>(b)] == 0);
    std::vector<double> sums(2, 0.5);
    const std::vector<std::span<double>> out = {sums};
    noise::add_clipped(gradients, factors, 1, out);
    CHECK(sums[0] == 0.5 + static_cast<double>(factors[0]) * 1 + static_cast<double>(factors[5]) * 3);
    CHECK(sums[1] == 0.5 + static_cast<double>(factors[0]) * 2 + static_cast<double>(factors[5]) * 4);
  }
  CHECK(factors_of(gradients, Clipping::flat(100))[4] == 1);
}

TEST_CASE("automatic clipping bounds by the norm and scales small gradients up") {
  for (const float value : {0.0f, 1e-30f, 1e-3f, 1.0f, 1e10f}) {
    Batch batch(1, {100}, 0, [&](std::uint64_t) { return value; });
    const long double length = std::sqrt(batch.squared(0));
    const float factor = factors_of(batch.view(), Clipping::automatic(2, 0.01))[0];
    CHECK(factor * length <= 2 * (1 - 0x1p-13L));
    CHECK(std::abs(factor * (length + 0.01L) - 2) <= 2 * 0x1.1p-13L);
  }
}

TEST_CASE("per-layer clipping bounds every layer by its own norm") {
  std::mt19937 engine(4);
  std::normal_distribution<float> normal;
  Batch batch(9, {10, 2000, 1}, 3, [&](std::uint64_t) { return normal(engine); });
  const Clipping clipping = Clipping::per_layer({0.5, 2, 1e-3});
  CHECK(clipping.total_norm() >= std::sqrt(0.25 + 4 + 1e-6));
  CHECK(clipping.total_norm() <= std::sqrt(0.25 + 4 + 1e-6) * (1 + 1e-14));
  const std::vector<float> factors = factors_of(batch.view(), clipping);
  for (std::uint64_t b = 0; b < 9; ++b)
    for (std::size_t t = 0; t < 3; ++t) {
      long double square = 0;
      for (std::uint64_t j = 0; j < batch.tensors[t].width; ++j) {
        const long double g = static_cast<long double>(factors[b * 3 + t]) * batch.at(t, b, j);
        square += g * g;
      }
      CHECK(std::sqrt(square) <= clipping.norms()[t] * (1 - 0x1p-13L));
    }
  for (const std::uint32_t layers : {1u, 2u, 3u, 1000u, 65536u}) {
    const Clipping equal = Clipping::per_layer_equal(1.5, layers);
    CHECK(equal.total_norm() <= 1.5);
    CHECK(equal.total_norm() >= 1.5 * (1 - 1e-10));
  }
}

TEST_CASE("computed sums of neighbouring batches differ by at most the norm") {
  // In float the last additions would be lost, or rounded up, against the large sum.
  const std::uint64_t count = 5000;
  Batch batch(count, {3}, 0,
              [&](std::uint64_t b) { return b == 0 ? 1.0f : 0.577f + 1e-4f * static_cast<float>(b % 7); });
  const Clipping clipping = Clipping::flat(1);
  std::vector<double> with(3, 0.0), without(3, 0.0);
  const std::vector<float> factors = factors_of(batch.view(), clipping);
  noise::add_clipped(batch.view(), factors, 1, std::vector<std::span<double>>{with});
  std::vector<float> dropped = factors;
  dropped[0] = 0;
  noise::add_clipped(batch.view(), dropped, 1, std::vector<std::span<double>>{without});
  long double square = 0;
  for (std::size_t j = 0; j < 3; ++j) {
    const long double d = static_cast<long double>(with[j]) - without[j];
    square += d * d;
  }
  CHECK(std::sqrt(square) <= 1.0L);
}

TEST_CASE("sums are example by example, whatever the threads, pieces and microbatches") {
  std::mt19937 engine(5);
  std::normal_distribution<float> normal;
  Batch batch(40, {5, 0, 9001, 1, 4096}, 2, [&](std::uint64_t) { return normal(engine); });
  batch.one_layer();
  const std::vector<float> factors = factors_of(batch.view(), Clipping::flat(1));
  std::vector<std::vector<double>> sums, parts;
  for (const TensorRows& tensor : batch.tensors) sums.emplace_back(tensor.width, 0.0);
  parts = sums;
  noise::add_clipped(batch.view(), factors, 1, std::vector<std::span<double>>(sums.begin(), sums.end()));
  for (std::size_t t = 0; t < sums.size(); ++t)
    for (std::uint64_t j = 0; j < sums[t].size(); ++j) {
      double sum = 0;
      for (std::uint64_t b = 0; b < 40; ++b)
        sum = std::fma(static_cast<double>(factors[b]), static_cast<double>(batch.at(t, b, j)), sum);
      REQUIRE(sums[t][j] == sum);
    }
  for (const std::uint64_t begin : {0u, 13u}) {
    const std::uint64_t end = begin == 0 ? 13 : 40;
    std::vector<TensorRows> tensors = batch.tensors;
    for (TensorRows& tensor : tensors) tensor.data += begin * tensor.stride;
    noise::add_clipped({tensors, end - begin}, std::span(factors).subspan(begin, end - begin), 1,
                       std::vector<std::span<double>>(parts.begin(), parts.end()));
  }
  CHECK(parts == sums);
}

TEST_CASE("what no gradient or clipping may be is refused") {
  const std::vector<float> rows(12, 1.0f);
  std::vector<TensorRows> tensors = {{rows.data(), 3}};
  std::vector<double> norms(4);
  const auto norms_of = [&](std::uint64_t batch) { noise::squared_norms({tensors, batch}, 1, norms); };
  norms_of(4);
  CHECK_THROWS_AS(norms_of(3), std::invalid_argument);
  tensors[0].stride = 2;
  CHECK_THROWS_AS(norms_of(4), std::invalid_argument);
  tensors[0] = {rows.data(), 3, 0, 0, 1};
  CHECK_THROWS_AS(norms_of(4), std::invalid_argument);
  tensors[0] = {nullptr, 3};
  CHECK_THROWS_AS(norms_of(4), std::invalid_argument);
  for (const double bad : {0.0, -1.0, 1e-31, 1e31, std::nan(""), HUGE_VAL}) {
    CHECK_THROWS_AS(Clipping::flat(bad), std::invalid_argument);
    CHECK_THROWS_AS(Clipping::per_layer({1.0, bad}), std::invalid_argument);
    CHECK_THROWS_AS(Clipping::automatic(bad), std::invalid_argument);
  }
  CHECK_THROWS_AS(Clipping::automatic(1, 0), std::invalid_argument);
  CHECK_THROWS_AS(Clipping::automatic(1, 1e-31), std::invalid_argument);
  CHECK_THROWS_AS(Clipping::per_layer({}), std::invalid_argument);
  tensors[0] = {rows.data(), 3};
  std::vector<double> sums(3);
  for (const float bad : {-1.0f, kNan, kInf})
    CHECK_THROWS_AS(noise::add_clipped({tensors, 1}, std::vector<float>{bad}, 1, std::vector<std::span<double>>{sums}),
                    std::invalid_argument);
}
