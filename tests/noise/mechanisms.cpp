// Isotropic, sparse, block-diagonal, weighted and Laplace: covariance, mu, shards, refusals.
#include "dpflash/noise/mechanisms.hpp"

#include <dpflash/accounting/error.hpp>
#include <limits>
#include <numeric>

#include "mechanism_cases.hpp"

using namespace dpflash;
using accounting::UnusableInput;
using noise::Allocation;
using noise::Block;
using noise::BlockDiagonal;
using noise::Isotropic;
using noise::Mask;
using noise::Sparse;
using noise::Weighted;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kHuge = std::numeric_limits<double>::infinity();
const double kMostMu = 1 / 1.25 * (1 + 1e-15);

/// sqrt(sum (x_i / s_i)^2)
double length(std::span<const float> x, const std::function<double(std::size_t)>& variance) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (x[i] != 0.0f) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]) / variance(i);
  return std::sqrt(sum);
}

template <class Mechanism>
std::vector<double> variances(const Mechanism& m) {
  std::vector<double> out;
  for (std::size_t i = 0; i < m.size(); ++i) out.push_back(m.variance(i));
  return out;
}

void check_error(double expected, const std::vector<double>& variances) {
  CHECK(expected == doctest::Approx(std::accumulate(variances.begin(), variances.end(), 0.0)).epsilon(1e-12));
}

}  // namespace

TEST_CASE("isotropic: covariance, mu, edges") {
  const Isotropic m(13, 0.7, cases::gaussian());
  CHECK(static_cast<double>(m.scale()) >= 1.25 * 0.7);
  CHECK(m.mu() <= kMostMu);
  cases::check_mu(m, m.mu(), [&](auto x) { return length(x, [&](std::size_t) { return m.variance(); }); });
  const std::vector<double> each(13, m.variance());
  cases::check_covariance(m, cases::diagonal(each));
  check_error(m.expected_squared_error(), each);
  cases::check_clip_edges(m, 1e-3f);
  cases::check_release(m);
  cases::check_release(Isotropic(1, 1, cases::gaussian()));
  for (const double bad : {0.0, -1.0, kNaN, kHuge, 1e300, 1e-300, 1e-40})
    CHECK_THROWS_AS(Isotropic(3, bad, cases::gaussian()), UnusableInput);
  CHECK_THROWS_AS(Isotropic(0, 1, cases::gaussian()), UnusableInput);
  CHECK_THROWS_AS(Isotropic(std::size_t{1} << 57, 1, cases::gaussian()), UnusableInput);
  CHECK_THROWS_WITH_AS(Isotropic(3, kNaN, cases::gaussian()), doctest::Contains("clip: nan is not allowed"),
                       UnusableInput);
}

TEST_CASE("every scale is at least multiplier times clip, for thousands of both") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(-6, 6);
  for (int i = 0; i < 300; ++i) {
    const double noise = std::exp(uniform(random));
    const auto c = cases::gaussian(noise);
    for (int j = 0; j < 10; ++j) {
      const double clip = std::exp(uniform(random));
      const Isotropic m(2, clip, c);
      CHECK(static_cast<long double>(m.scale()) >= static_cast<long double>(noise) * clip);
      CHECK(static_cast<long double>(m.mu()) * m.scale() >= static_cast<long double>(clip));
    }
  }
}

TEST_CASE("noise is fmaf(scale, draw, element), draw by draw, in more than one thread") {
  const std::size_t n = 300007;
  const Isotropic m(n, 2, cases::gaussian());
  std::mt19937_64 random(2);
  const std::vector<float> sum = cases::random_vector(n, random);
  std::vector<float> z(n);
  cases::source().normal(z, {4, 5, 6});
  std::vector<float> g = sum;
  auto noise = cases::source();
  m.privatise(g, noise, {4, 5, 6});
  bool same = true;
  for (std::size_t i = 0; i < n; ++i) same = same && g[i] == std::fmaf(m.scale(), z[i], sum[i]);
  CHECK(same);
  const std::size_t cuts[] = {0, 1, 4096, 123457, n};
  cases::check_shards(m, cuts);
}

TEST_CASE("masks keep what they say") {
  const auto list = [](const Mask& m) { return std::vector<std::uint64_t>(m.kept().begin(), m.kept().end()); };
  using L = std::vector<std::uint64_t>;
  CHECK(list(Mask::n_of_m(9, 2, 4)) == L{0, 1, 4, 5, 8});
  CHECK(list(Mask::n_of_m(9, 2, 4, 3)) == L{1, 2, 5, 6});
  CHECK(list(Mask::every_kth(7, 3, 1)) == L{2, 5});
  CHECK(list(Mask::band(3, 4, 1, 0)) == L{0, 4, 5, 9, 10});
  CHECK(list(Mask::band(4, 2, 0, 9)) == L{0, 1, 3});
  CHECK(list(Mask::band(2, 3, 9, ~std::size_t{0})) == L{0, 1, 2, 3, 4, 5});
  const std::uint8_t bits[] = {0, 1, 1, 0, 1};
  CHECK(list(Mask::of_bits(bits)) == L{1, 2, 4});
  const std::uint8_t bad[] = {0, 2};
  const std::uint8_t none[] = {0, 0};
  CHECK_THROWS_AS(Mask::of_bits(bad), UnusableInput);
  CHECK_THROWS_AS(Mask::of_bits(none), UnusableInput);
  CHECK_THROWS_AS(Mask::of_bits({}), UnusableInput);
  CHECK_THROWS_AS(Mask::of_indices(3, L{}), UnusableInput);
  CHECK_THROWS_AS(Mask::of_indices(3, L{0, 3}), UnusableInput);
  CHECK_THROWS_AS(Mask::of_indices(3, L{1, 1}), UnusableInput);
  CHECK_THROWS_AS(Mask::of_indices(3, L{2, 1}), UnusableInput);
  CHECK_THROWS_AS(Mask::n_of_m(4, 0, 2), UnusableInput);
  CHECK_THROWS_AS(Mask::n_of_m(4, 3, 2), UnusableInput);
  CHECK_THROWS_AS(Mask::every_kth(4, 0), UnusableInput);
  CHECK_THROWS_AS(Mask::every_kth(2, 8, 1), UnusableInput);
  CHECK_THROWS_AS(Mask::band(std::size_t{1} << 40, std::size_t{1} << 40, 0, 0), UnusableInput);
}

TEST_CASE("sparse: what lies outside the mask is never released") {
  const Sparse m(Mask::n_of_m(17, 1, 3, 1), 1.5, cases::gaussian());
  CHECK(m.mu() <= kMostMu);
  cases::check_mu(m, m.mu(), [&](auto x) {
    for (std::size_t i = 0; i < x.size(); ++i)
      if (m.variance(i) == 0) CHECK(x[i] == 0.0f);
    return length(x, [&](std::size_t i) { return m.variance(i); });
  });
  cases::check_covariance(m, cases::diagonal(variances(m)));
  check_error(m.expected_squared_error(), variances(m));
  cases::check_release(m);
  auto noise = cases::source();
  std::vector<float> z(m.draws());
  noise.normal(z, {0, 0, 5});
  std::vector<float> sum(17, std::nanf(""));  // garbage outside must not survive
  for (const auto i : m.mask().kept()) sum[i] = 1;
  m.privatise(sum, noise, {0, 1, 5});
  cases::source().normal(z, {0, 1, 5});
  std::size_t j = 0;
  for (std::size_t i = 0; i < 17; ++i)
    CHECK(sum[i] == (m.variance(i) == 0 ? 0.0f : std::fmaf(m.scale(), z[j++], 1.0f)));
  std::vector<float> poisoned(17, 1.0f);
  poisoned[2] = HUGE_VALF;
  m.clip(poisoned);
  CHECK(m.mask().kept()[0] == 2);
  CHECK(poisoned == std::vector<float>(17, 0.0f));
  CHECK_THROWS_AS(Sparse(Mask::every_kth(4, 2), 0, cases::gaussian()), UnusableInput);
  CHECK_THROWS_AS((void)m.variance(17), UnusableInput);
}

TEST_CASE("sparse: shards count draws from the whole mask") {
  const std::size_t n = 250001;
  const Sparse m(Mask::n_of_m(n, 2, 5, 3), 1, cases::gaussian());
  const std::size_t cuts[] = {0, 1, 2, 3, 77777, n - 1, n};
  cases::check_shards(m, cuts);
  const Sparse lonely(Mask::of_indices(10, std::vector<std::uint64_t>{4}), 1, cases::gaussian());
  const std::size_t all[] = {0, 1, 4, 5, 6, 10};
  cases::check_shards(lonely, all);
}

TEST_CASE("block-diagonal: every allocation has the same mu, least_error the least error") {
  const Block blocks[] = {{1, 3.0}, {9, 0.01}, {4, 1.0}};
  std::vector<double> errors;
  for (const auto allocation : {Allocation::least_error, Allocation::same_scale, Allocation::same_share}) {
    const BlockDiagonal m(blocks, allocation, cases::gaussian());
    CHECK(m.size() == 14);
    CHECK(m.mu() <= kMostMu);
    CHECK(m.mu() >= (1 - 1e-6) / 1.25);
    // All blocks at their clips at once: single coordinates do not reach mu, random vectors do.
    cases::check_mu(m, m.mu(), [&](auto x) { return length(x, [&](std::size_t i) { return m.variance(i); }); });
    cases::check_covariance(m, cases::diagonal(variances(m)));
    check_error(m.expected_squared_error(), variances(m));
    cases::check_release(m);
    cases::check_clip_edges(m, 1e-4f);
    errors.push_back(m.expected_squared_error());
  }
  CHECK(errors[0] < errors[1]);
  CHECK(errors[0] < errors[2]);
}

TEST_CASE("block-diagonal: no other scales of the same mu do better than least_error") {
  const Block blocks[] = {{100, 0.5}, {7, 2.0}, {1000, 0.1}};
  const BlockDiagonal best(blocks, Allocation::least_error, cases::gaussian(1));
  std::mt19937_64 random(8);
  std::normal_distribution<double> normal(0, 1);
  for (const double step : {1e-3, 0.1, 1.0})
    for (int k = 0; k < 200; ++k) {
      double mu_squared = 0;
      double error = 0;
      for (const auto& entry : best.table()) {
        const double variance = std::pow(entry.scale * std::exp(step * normal(random)), 2);
        mu_squared += entry.clip * entry.clip / variance;
        error += static_cast<double>(entry.size) * variance;
      }
      CHECK(error * mu_squared >= best.expected_squared_error() * (1 - 1e-6));  // rescaled to mu = 1
    }
}

TEST_CASE("block-diagonal: one block is isotropic; blocks of any size and shards agree") {
  const Block one[] = {{5, 0.7}};
  CHECK(BlockDiagonal(one, Allocation::least_error, cases::gaussian()).table()[0].scale ==
        doctest::Approx(Isotropic(5, 0.7, cases::gaussian()).scale()).epsilon(1e-6));
  const Block many[] = {{1, 1}, {4095, 0.3}, {1, 2}, {200000, 0.1}, {13, 5}};
  const BlockDiagonal m(many, Allocation::least_error, cases::gaussian());
  const std::size_t cuts[] = {0, 1, 2, 4096, 4097, 100000, m.size() - 13, m.size()};
  cases::check_shards(m, cuts);
  std::vector<float> x(m.size(), 1.0f);
  x[0] = std::nanf("");
  m.clip(x);  // the poisoned block alone becomes zero
  CHECK(x[0] == 0.0f);
  CHECK(x[5000] > 0.0f);
  const auto refuse = [](std::vector<Block> blocks) {
    CHECK_THROWS_AS(BlockDiagonal(blocks, Allocation::same_scale, cases::gaussian()), UnusableInput);
  };
  refuse({});
  refuse({{0, 1}});
  refuse({{3, 1}, {3, 0}});
  refuse({{3, -1}});
  refuse({{3, kNaN}});
  refuse({{3, kHuge}});
  refuse({{3, 1e200}});
  refuse({{std::size_t{1} << 56, 1}, {1, 1}});
}

TEST_CASE("weighted: covariance and mu follow the weights") {
  const std::vector<float> weights{1.0f, 0.1f, 3.0f, 1e-5f, 700.0f, 0.3333f};
  const Weighted m(weights, 0.9, cases::gaussian());
  CHECK(m.mu() <= kMostMu);
  for (std::size_t i = 0; i < weights.size(); ++i)
    CHECK(static_cast<long double>(m.weights_scaled()[i]) >= 1.25L * 0.9L * weights[i] * (1 - 1e-16L));
  cases::check_mu(m, m.mu(), [&](auto x) { return length(x, [&](std::size_t i) { return m.variance(i); }); });
  cases::check_covariance(m, cases::diagonal(variances(m)));
  check_error(m.expected_squared_error(), variances(m));
  cases::check_release(m);
  cases::check_clip_edges(m, 1e-6f);
  for (const float bad : {0.0f, -1.0f, std::nanf(""), HUGE_VALF, 1e-42f, 3e38f})
    CHECK_THROWS_AS(Weighted(std::vector<float>{1.0f, bad}, 100, cases::gaussian()), UnusableInput);
  CHECK_THROWS_AS(Weighted(std::vector<float>{}, 1, cases::gaussian()), UnusableInput);
  CHECK_THROWS_AS(Weighted(weights, 0, cases::gaussian()), UnusableInput);
}

TEST_CASE("weighted: shards, and the builders of public shapes") {
  const Weighted m(noise::position_weights(2001, 77, 0.5), 1, cases::gaussian());
  const std::size_t cuts[] = {0, 5, 88888, m.size()};
  cases::check_shards(m, cuts);
  CHECK(noise::position_weights(4, 2, 0.5)[6] == 0.5f);
  CHECK(noise::window_weights(2, 3, 1, 2.0f, 0.5f) == std::vector<float>{2, 2, 0.5f, 2, 2, 2});
  const std::uint8_t mask[] = {1, 0, 1};
  CHECK(noise::attention_mask_weights(mask, 1.0f, 0.25f) == std::vector<float>{1, 0.25f, 1});
  CHECK_THROWS_AS(noise::attention_mask_weights(mask, 1.0f, 0.0f), UnusableInput);
  CHECK_THROWS_AS(noise::attention_mask_weights({}, 1.0f, 1.0f), UnusableInput);
  CHECK_THROWS_AS(noise::window_weights(0, 3, 1, 1.0f, 1.0f), UnusableInput);
  CHECK_THROWS_AS(noise::window_weights(2, 3, 1, std::nanf(""), 1.0f), UnusableInput);
  CHECK_THROWS_AS(noise::position_weights(4, 2, kNaN), UnusableInput);
}

TEST_CASE("Laplace: covariance, ratio, edges") {
  const noise::Laplace m(7, 0.7, cases::laplace());
  CHECK(m.ratio() <= kMostMu);
  cases::check_mu(m, m.ratio(), [&](auto x) {
    double sum = 0;
    for (const float value : x) sum += std::abs(static_cast<double>(value));
    return sum / static_cast<double>(m.scale());
  });
  CHECK(m.expected_squared_error() == doctest::Approx(7 * m.variance()));
  auto noise = cases::source();
  std::vector<float> g(200000, 0.0f);
  const noise::Laplace large(g.size(), 0.7, cases::laplace());
  large.privatise(g, noise, {});
  double second = 0;
  for (const float value : g) second += static_cast<double>(value) * static_cast<double>(value);
  // Var(z^2) = 20 for a standard Laplace z; 6 standard errors
  CHECK(std::abs(second / 2e5 / large.variance() - 1) < 6 * std::sqrt(20.0 / 4 / 2e5));
  cases::check_release(m);
  cases::check_clip_edges(m, 1e-3f);
  const std::size_t cuts[] = {0, 3, 7};
  cases::check_shards(m, cuts);
  CHECK_THROWS_AS(noise::Laplace(0, 1, cases::laplace()), UnusableInput);
  CHECK_THROWS_AS(noise::Laplace(3, kNaN, cases::laplace()), UnusableInput);
}

TEST_CASE("the scalar Laplace pair dominates two coordinates of the same L1 norm") {
  // H of the product at e^epsilon, by the midpoint rule over the first coordinate's output
  const auto curve = [](double shift, double e) {
    if (e >= shift) return 0.0;
    return e <= -shift ? -std::expm1(e) : -std::expm1((e - shift) / 2);
  };
  for (const auto& [a, b] : {std::pair{0.3, 0.9}, {1.0, 1.0}, {2.0, 0.01}, {4.0, 3.0}})
    for (const double e : {-6.0, -1.0, 0.0, 0.2, 0.6, 1.0, 1.9, 2.0, 3.0, 6.9}) {
      double h = 0;
      const double width = 1e-3;
      for (double x = -40 + width / 2; x < 40; x += width)
        h += width * 0.5 * std::exp(-std::abs(x - a)) * curve(b, e - (std::abs(x) - std::abs(x - a)));
      CHECK(h <= curve(a + b, e) + 1e-6);
    }
}

TEST_CASE("a mechanism takes a calibration of its own family only") {
  CHECK_THROWS_WITH_AS(Isotropic(3, 1, cases::laplace()), doctest::Contains("calibration.family: laplace"),
                       UnusableInput);
  CHECK_THROWS_AS(noise::Laplace(3, 1, cases::gaussian()), UnusableInput);
  const auto discrete =
      noise::Calibration::discrete_gaussian_stated(accounting::NoiseMultiplier(2), accounting::Delta(1e-5));
  CHECK_THROWS_AS(Isotropic(3, 1, discrete), UnusableInput);
  CHECK_THROWS_AS(Sparse(Mask::every_kth(4, 2), 1, cases::laplace()), UnusableInput);
  const Block blocks[] = {{3, 1}};
  CHECK_THROWS_AS(BlockDiagonal(blocks, Allocation::same_scale, cases::laplace()), UnusableInput);
  CHECK_THROWS_AS(Weighted(std::vector<float>{1.0f}, 1, cases::laplace()), UnusableInput);
}
