#include "inversion/inversion.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <random>

using namespace dpflash::accounting;

namespace {

Composition sampled(double sigma, double rate, std::int64_t count) {
  return {{{SampledGaussianStep{sigma, rate}, count}}, false};
}

Composition twenty_four_phases() {
  Composition c{{}, false};
  for (int i = 0; i < 24; ++i) c.phases.push_back({SampledGaussianStep{0.8 + 0.05 * i, 0.002 + 0.0005 * i}, 1000});
  return c;
}

/// delta(epsilon) of N(mu, 1) against N(0, 1), in extended precision.
long double gaussian_delta(long double mu, long double epsilon) {
  const long double a = (epsilon / mu - mu / 2) / std::sqrt(2.0L), b = (epsilon / mu + mu / 2) / std::sqrt(2.0L);
  return (std::erfc(a) - std::exp(epsilon) * std::erfc(b)) / 2;
}

bool valid(const Interval& i) { return i.lower >= 0 && i.lower <= i.upper && std::isfinite(i.upper); }

struct Bracket {
  double sigma, rate;
  std::int64_t count;
  double delta;
  Direction direction;
  double lower, upper;
};

// Brackets of an independent program: exact cell masses split by connecting the dots (upper) or merged greedily onto
// the lattice (lower), composed by a tilted FFT with spacings 5e-7 ... 1e-4.
constexpr Bracket kIndependent[] = {
    {1, 0.01, 100000, 1e-5, Direction::remove, 25.5730219914421, 25.5732741938306},
    {1, 0.001, 1000, 1e-15, Direction::add, 0.248007590572117, 0.248020826840318},
    {1.0333930430419944, 0.004, 20000, 1e-5, Direction::remove, 2.99982648281468, 2.99999538506193},
    {3, 0.2, 500, 1e-6, Direction::remove, 8.16638322720691, 8.16638565159431},
    {3, 0.2, 500, 1e-6, Direction::add, 7.58402123065130, 7.58402390450150},
    {0.6, 0.0005, 5000, 1e-7, Direction::add, 0.462136789208609, 0.463239727464973},
    {1, 0.01, 100000, 1e-10, Direction::remove, 34.6169165659755, 34.6172282507619},
    {2, 0.001, 1000000, 1e-8, Direction::remove, 2.90460109620158, 2.90475854313650},
    {50, 0.001, 1000000, 1e-5, Direction::remove, 0.0586289043870740, 0.0586539490867032},
};

}  // namespace

TEST_CASE("brackets overlap those of an independent lattice program") {
  for (const Bracket& b : kIndependent) {
    CAPTURE(b.sigma);
    CAPTURE(b.count);
    CAPTURE(b.delta);
    const auto ours = invert_epsilon(sampled(b.sigma, b.rate, b.count), b.direction, b.delta, 1e-6);
    REQUIRE(ours);
    CHECK(ours->lower <= b.upper);
    CHECK(ours->upper >= b.lower);
    CHECK(ours->upper - ours->lower <= 1e-6 * ours->upper);
  }
}

TEST_CASE("rare recognisable hits are bracketed soundly, if less narrowly") {
  const auto ours = invert_epsilon(sampled(1, 0.001, 1000), Direction::remove, 1e-8, 1e-6);
  REQUIRE(ours);
  CHECK(ours->lower <= 0.305042617822433);
  CHECK(ours->upper >= 0.305041013522745);
}

TEST_CASE("known values of well studied plans lie inside, at every width asked for") {
  struct {
    Composition plan;
    double delta, value, slack;
  } const rows[] = {
      {sampled(1, 0.01, 1000), 1e-5, 1.82823666645, 1e-10},
      {sampled(1, 0.01, 10000), 1e-5, 6.187712390, 1e-9},
      {sampled(1, 0.01, 100000), 1e-5, 25.57310699, 1e-8},
      {twenty_four_phases(), 1e-5, 4.2969904, 5e-8},
      {sampled(50, 0.001, 1000000), 1e-5, 0.0586405862, 1e-10},
      {sampled(1, 1e-4, 10000000), 1e-5, 1.6196341740, 1e-10},
      {sampled(2, 0.001, 1000000), 1e-12, 3.696601045, 1e-9},
      {sampled(1, 1e-5, 1000000000), 1e-5, 1.6179038085, 5e-10},
      {sampled(1, 0.001, 1000), 1e-20, 2.6840873735, 2e-9},
  };
  for (const auto& row : rows) {
    CAPTURE(row.value);
    for (const double width : {1e-2, 1e-4, 1e-6}) {
      const auto found = invert_epsilon(row.plan, Direction::remove, row.delta, width, 1e8);
      REQUIRE(found);
      CHECK(found->lower <= row.value + row.slack);
      CHECK(found->upper >= row.value - row.slack);
      CHECK(found->upper - found->lower <= width * found->upper);
    }
  }
}

TEST_CASE("composed Gaussians meet the closed form from tiny to huge noise and down to delta 1e-30") {
  for (const double mu : {1e-4, 1e-2, 0.3, 1.0, 7.0, 60.0, 100.0})
    for (const double delta : {0.3, 1e-3, 1e-10, 1e-30}) {
      CAPTURE(mu);
      CAPTURE(delta);
      const Composition plan{{{GaussianStep{mu * 0.6}, 1}, {GaussianStep{mu * 0.8}, 1}}, true};
      const auto found = invert_epsilon(plan, Direction::remove, delta, 1e-7);
      REQUIRE(found);
      CHECK(valid(*found));
      // delta decreases, so it is above the target left of the answer and below right of it.
      if (found->lower > 0) CHECK(gaussian_delta(mu, found->lower) >= static_cast<long double>(delta) * (1 - 1e-13L));
      CHECK(gaussian_delta(mu, found->upper) <= static_cast<long double>(delta) * (1 + 1e-13L));
      CHECK(found->upper - found->lower <= 1e-7 * found->upper);
      const auto back = invert_delta(plan, Direction::add, found->upper, 1e-6);
      REQUIRE(back);
      const auto exact = static_cast<double>(gaussian_delta(mu, found->upper));
      CHECK(back->lower <= exact * (1 + 1e-12));
      CHECK(back->upper >= exact * (1 - 1e-12));
    }
}

TEST_CASE("negative epsilon is answered, and delta 1 - e^epsilon bounds it from below") {
  const Composition plan{{{GaussianStep{0.5}, 1}}, true};
  for (const double epsilon : {-0.1, -1.0, -3.0}) {
    const auto found = invert_delta(plan, Direction::remove, epsilon, 1e-6);
    REQUIRE(found);
    const auto exact = static_cast<double>(gaussian_delta(0.5L, epsilon));
    CHECK(found->lower <= exact);
    CHECK(found->upper >= exact);
    CHECK(found->upper <= exact * (1 + 1e-6));
    CHECK(found->lower >= -std::expm1(epsilon) * (1 - 1e-12));
  }
}

TEST_CASE("splitting a phase, or mixing in a Gaussian of no weight, changes nothing") {
  const Composition whole = sampled(1.2, 0.02, 3000);
  const Composition split{{{SampledGaussianStep{1.2, 0.02}, 1234}, {SampledGaussianStep{1.2, 0.02}, 1766}}, false};
  for (const Direction direction : {Direction::remove, Direction::add}) {
    const auto a = invert_epsilon(whole, direction, 1e-7, 1e-8), b = invert_epsilon(split, direction, 1e-7, 1e-8);
    REQUIRE(a);
    REQUIRE(b);
    CHECK(a->lower <= b->upper);
    CHECK(b->lower <= a->upper);
    CHECK(a->upper == doctest::Approx(b->upper).epsilon(2e-8));
  }
}

TEST_CASE("a sampled Gaussian of rate near one is a Gaussian") {
  const auto nearly = invert_epsilon(sampled(5, 1 - 1e-12, 100), Direction::remove, 1e-6, 1e-7);
  const auto exactly = invert_epsilon({{{GaussianStep{2.0}, 1}}, true}, Direction::remove, 1e-6, 1e-7);
  REQUIRE(nearly);
  REQUIRE(exactly);
  CHECK(nearly->upper == doctest::Approx(exactly->upper).epsilon(1e-6));
}

TEST_CASE("replacing a record costs more than removing it, and less than removing and adding") {
  const Composition replace{{{ReplaceSampledGaussianStep{1, 0.01}, 1000}}, true};
  const auto found = invert_epsilon(replace, Direction::remove, 1e-5, 1e-6);
  const auto remove = invert_epsilon(sampled(1, 0.01, 1000), Direction::remove, 1e-5, 1e-6);
  REQUIRE(found);
  REQUIRE(remove);
  CHECK(found->lower > remove->upper);
  CHECK(found->upper < 2 * 1.9);
}

TEST_CASE("an answer of zero is proved, not guessed") {
  // delta(0) of this plan is about 4e-4.
  const Composition plan = sampled(10, 0.001, 100);
  const auto zero = invert_epsilon(plan, Direction::remove, 0.01, 1e-6);
  REQUIRE(zero);
  CHECK(zero->upper == 0);
  const auto total = invert_delta(plan, Direction::remove, 0, 1e-6);
  REQUIRE(total);
  CHECK(total->upper < 0.01);
  const auto just_below = invert_epsilon(plan, Direction::remove, 0.5 * total->lower, 1e-3);
  REQUIRE(just_below);
  CHECK(just_below->lower > 0);
}

TEST_CASE("epsilon and delta are each other's inverse") {
  const Composition plan = twenty_four_phases();
  for (const Direction direction : {Direction::remove, Direction::add}) {
    const auto epsilon = invert_epsilon(plan, direction, 1e-9, 1e-7);
    REQUIRE(epsilon);
    const auto at_upper = invert_delta(plan, direction, epsilon->upper, 1e-8);
    const auto at_lower = invert_delta(plan, direction, epsilon->lower, 1e-8);
    REQUIRE(at_upper);
    REQUIRE(at_lower);
    CHECK(at_upper->lower <= 1e-9);
    CHECK(at_lower->upper >= 1e-9);
  }
}

TEST_CASE("the cheap proof is never wrong and succeeds where the margin is wide") {
  const Composition plan = sampled(1, 0.01, 10000);
  const auto epsilon = invert_epsilon(plan, Direction::add, 1e-5, 1e-6);
  REQUIRE(epsilon);
  CHECK(proves_delta_at_most(plan, Direction::add, 1.15 * epsilon->upper, 1e-5));
  CHECK_FALSE(proves_delta_at_most(plan, Direction::add, 0.999 * epsilon->lower, 1e-5));
  CHECK(proves_delta_at_most(plan, Direction::add, 1e6, 1e-30));
  CHECK(proves_delta_at_most(plan, Direction::remove, -5, 1.0));
  CHECK_FALSE(proves_delta_at_most(plan, Direction::remove, std::nan(""), 1e-5));
  CHECK_FALSE(proves_delta_at_most(plan, Direction::remove, 1, std::nan("")));
}

TEST_CASE("random plans over the whole domain are answered soundly or refused, never with nonsense") {
  std::mt19937_64 generator(20);
  const auto draw = [&](double low, double high) {
    return std::exp(std::uniform_real_distribution<double>(std::log(low), std::log(high))(generator));
  };
  int answered = 0;
  for (int i = 0; i < 400; ++i) {
    const double sigma = draw(0.02, 1e4), rate = draw(1e-9, 0.9999), delta = draw(1e-30, 0.5);
    const auto count = static_cast<std::int64_t>(draw(1, 1e12));
    Composition plan{{}, false};
    if (i % 3 == 0)
      plan.phases.push_back({ReplaceSampledGaussianStep{sigma, rate}, count});
    else
      plan.phases.push_back({SampledGaussianStep{sigma, rate}, count});
    if (i % 5 == 0) plan.phases.push_back({GaussianStep{draw(1e-3, 10)}, 1});
    const Direction direction = i % 2 == 0 ? Direction::remove : Direction::add;
    CAPTURE(sigma);
    CAPTURE(rate);
    CAPTURE(count);
    CAPTURE(delta);
    const auto coarse = invert_epsilon(plan, direction, delta, 1e-2, 1e6);
    if (!coarse) continue;
    ++answered;
    CHECK(valid(*coarse));
    const auto fine = invert_epsilon(plan, direction, delta, 1e-7, 2e6);
    if (!fine) continue;
    CHECK(valid(*fine));
    CHECK(fine->lower <= coarse->upper);
    CHECK(coarse->lower <= fine->upper);
    if (coarse->upper > 0 && proves_delta_at_most(plan, direction, 0.99 * coarse->lower, delta))
      CHECK(coarse->lower == 0);
  }
  CHECK(answered > 200);
}

TEST_CASE("what has no transform, no decay or no sense is refused quickly") {
  CHECK_FALSE(invert_epsilon({{{LaplaceStep{10, 1}, 100}}, true}, Direction::remove, 1e-6, 1e-3));
  CHECK_FALSE(invert_epsilon({{{ApproximateStep{0.1, 0, 1}, 100}}, true}, Direction::remove, 1e-6, 1e-3));
  CHECK_FALSE(invert_epsilon({}, Direction::remove, 1e-6, 1e-3));
  for (const double delta : {0.0, 1.0, -1.0, std::nan("")})
    CHECK_FALSE(invert_epsilon(sampled(1, 0.01, 1000), Direction::remove, delta, 1e-3));
  CHECK_FALSE(invert_epsilon(sampled(0.02, 0.5, 10), Direction::remove, 1e-6, 1e-3));
  CHECK_FALSE(invert_delta(sampled(1, 0.01, 1000), Direction::remove, std::nan(""), 1e-3));
  CHECK_FALSE(invert_epsilon(sampled(1, 0.001, 1000), Direction::remove, 1e-20, 1e-6, 1e4));
}

TEST_CASE("losses in the add direction end at -k ln(1-q)") {
  const auto beyond = invert_delta(sampled(1, 0.5, 10), Direction::add, 7.0, 1e-3);
  REQUIRE(beyond);
  CHECK(beyond->upper == 0);
  CHECK(proves_delta_at_most(sampled(1, 0.5, 10), Direction::add, 7.0, 1e-300));
}
