// What any epsilon has to satisfy, whatever the plan: order, composition, adjacency, consistency of the two questions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <dpflash/accounting/accountant.hpp>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace dpflash::accounting;

namespace {

Event gaussian(double sigma, double rate, std::int64_t count) {
  return {Gaussian{sigma}, rate < 1 ? Sampling{PoissonSampling{rate}} : Sampling{NoSampling{}}, count};
}
Event laplace(double scale, double rate, std::int64_t count) {
  return {Laplace{scale}, rate < 1 ? Sampling{PoissonSampling{rate}} : Sampling{NoSampling{}}, count};
}
Event approximate(double epsilon, double delta, std::int64_t count) {
  return {EpsilonDelta{epsilon, delta}, NoSampling{}, count};
}

Bracket epsilon_of(const Plan& plan, double delta, double width = 1e-4) {
  return certified_epsilon(plan, Delta(delta), {Engine::automatic, RelativeWidth(width)}).bracket;
}
Bracket delta_of(const Plan& plan, double epsilon, double width = 1e-4) {
  return certified_delta(plan, Epsilon(epsilon), {Engine::automatic, RelativeWidth(width)}).bracket;
}

bool overlap(const Bracket& a, const Bracket& b) { return a.lower <= b.upper && b.lower <= a.upper; }
bool may_be_at_most(const Bracket& a, const Bracket& b) { return a.lower <= b.upper; }

// Plans that mix mechanisms and sampling, none of them slow.
std::vector<Plan> mixed_plans() {
  return {
      {{}, {gaussian(1.1, 0.01, 1000)}},
      {{}, {gaussian(0.7, 0.001, 3000), gaussian(5, 1, 3)}},
      {{}, {laplace(10, 1, 30), gaussian(4, 1, 2)}},
      {{}, {laplace(3, 0.1, 20), gaussian(2, 0.05, 50)}},
      {{}, {approximate(0.1, 1e-8, 20), gaussian(3, 0.2, 10)}},
      {{}, {gaussian(2, 0.5, 10), gaussian(1, 0.002, 500), laplace(8, 1, 5), approximate(0.05, 0, 10)}},
  };
}

/// delta(epsilon) of k uses of an (e, d)-DP mechanism, exact: Kairouz, Oh, Viswanath (2015), Theorem 3.3.
long double binomial_delta(long double e, long double d, int k, long double epsilon) {
  const long double log_none = k * std::log1p(-d);
  long double sum = 0;
  for (int i = 0; i <= k; ++i) {
    const long double loss = (k - 2 * i) * e;
    if (loss <= epsilon) break;
    const long double log_choose = std::lgamma(k + 1.0L) - std::lgamma(i + 1.0L) - std::lgamma(k - i + 1.0L);
    const long double log_mass = log_choose + (k - i) * e - k * std::log1p(std::exp(e));
    sum += std::exp(log_mass) * -std::expm1(epsilon - loss);
  }
  return -std::expm1(log_none) + std::exp(log_none) * sum;
}

}  // namespace

TEST_CASE("epsilon falls in the noise and in delta, grows in steps and rate") {
  const auto eps = [](double sigma, double rate, std::int64_t steps, double delta) {
    return epsilon_of(dpsgd_plan(sigma, rate, steps), delta);
  };
  for (const double rate : {1e-4, 0.01, 0.3, 1.0}) {
    for (const double delta : {1e-5, 1e-9}) {
      CAPTURE(rate);
      CAPTURE(delta);
      for (const double sigma : {0.6, 0.9, 2.0, 10.0}) {
        CAPTURE(sigma);
        const Bracket base = eps(sigma, rate, 200, delta);
        CHECK(may_be_at_most(eps(sigma * 1.05, rate, 200, delta), base));
        CHECK(may_be_at_most(eps(sigma, rate, 200, delta * 1.5), base));
        CHECK(may_be_at_most(base, eps(sigma, rate, 210, delta)));
        if (rate < 1) CHECK(may_be_at_most(base, eps(sigma, rate * 1.02, 200, delta)));
      }
    }
  }
}

TEST_CASE("the order and the grouping of events do not matter") {
  std::mt19937_64 random(7);
  for (const Plan& plan : mixed_plans()) {
    const Bracket base = epsilon_of(plan, 1e-6);
    Plan shuffled = plan;
    std::shuffle(shuffled.events.begin(), shuffled.events.end(), random);
    CHECK(overlap(base, epsilon_of(shuffled, 1e-6)));
    Plan split;
    for (const Event& e : plan.events) {
      Event first = e, second = e;
      first.count = e.count / 3;
      second.count = e.count - first.count;
      split.events.push_back(second);
      if (first.count > 0) split.events.insert(split.events.begin(), first);
    }
    CHECK(overlap(base, epsilon_of(split, 1e-6)));
  }
}

TEST_CASE("a delta is at most 1") {
  for (const double epsilon : {-1e308, -800.0, -1.0})
    for (const Plan& plan : {Plan{}, dpsgd_plan(1, 1, 1), dpsgd_plan(0.5, 0.1, 10)}) {
      const Bracket delta = certified_delta(plan, Epsilon(epsilon)).bracket;
      CHECK(delta.upper <= 1);
      CHECK(delta.lower <= delta.upper);
    }
}

TEST_CASE("a count of k is k events") {
  for (const Event& event : {gaussian(1.5, 0.1, 1), laplace(5, 1, 1), laplace(2, 0.2, 1), approximate(0.2, 1e-7, 1)}) {
    Event counted = event;
    counted.count = 25;
    const Plan many{{}, std::vector<Event>(25, event)}, one{{}, {counted}};
    CHECK(overlap(epsilon_of(many, 1e-5), epsilon_of(one, 1e-5)));
    CHECK(overlap(delta_of(many, 0.3), delta_of(one, 0.3)));
  }
}

TEST_CASE("each single direction is at most add-or-remove-one, which is one of them") {
  for (Plan plan : mixed_plans()) {
    for (const double delta : {1e-3, 1e-8}) {
      CAPTURE(delta);
      plan.adjacency = Adjacency::add_or_remove_one;
      const Bracket either = epsilon_of(plan, delta);
      plan.adjacency = Adjacency::add_one;
      const Bracket add = epsilon_of(plan, delta);
      plan.adjacency = Adjacency::remove_one;
      const Bracket remove = epsilon_of(plan, delta);
      CHECK(may_be_at_most(add, either));
      CHECK(may_be_at_most(remove, either));
      CHECK(either.lower <= std::max(add.upper, remove.upper));
      CHECK(either.upper >= std::max(add.lower, remove.lower));
    }
  }
}

TEST_CASE("closed forms of Gaussians lie in the brackets of both engines") {
  for (const Plan& plan : {Plan{{}, {gaussian(1, 1, 1)}}, Plan{{}, {gaussian(20, 1, 700)}},
                           Plan{{}, {gaussian(3, 1, 7), gaussian(0.8, 1, 1)}}, Plan{{}, {gaussian(300, 1, 10)}}}) {
    for (const double delta : {0.001, 1e-6, 1e-12}) {
      CAPTURE(delta);
      const auto asked = [&](Engine engine) {
        return certified_epsilon(plan, Delta(delta), {engine, RelativeWidth(1e-5)}).bracket;
      };
      const Bracket exact = asked(Engine::closed_form), lattice = asked(Engine::lattice),
                    inversion = asked(Engine::inversion);
      CHECK(lattice.lower <= exact.lower);
      CHECK(lattice.upper >= exact.upper);
      CHECK(inversion.lower <= exact.lower);
      CHECK(inversion.upper >= exact.upper);
    }
  }
}

TEST_CASE("brackets of all widths overlap") {
  for (const Plan& plan : mixed_plans()) {
    for (const Engine engine : {Engine::automatic, Engine::lattice}) {
      std::vector<Bracket> found;
      for (const double width : {1e-2, 5e-3, 1e-3, 1e-4, 5e-5, 1e-6}) {
        if (engine == Engine::lattice && width < 5e-5) continue;
        found.push_back(certified_epsilon(plan, Delta(1e-6), {engine, RelativeWidth(width)}).bracket);
      }
      for (const Bracket& a : found) {
        for (const Bracket& b : found) CHECK(overlap(a, b));
      }
    }
  }
}

TEST_CASE("the two questions are consistent") {
  for (const Plan& plan : mixed_plans()) {
    for (const double delta : {0.01, 1e-8}) {
      CAPTURE(delta);
      const Bracket epsilon = epsilon_of(plan, delta, 1e-5);
      if (!std::isfinite(epsilon.upper)) continue;
      CHECK(delta_of(plan, epsilon.upper).lower <= delta);
      if (epsilon.lower > 0) CHECK(delta_of(plan, epsilon.lower).upper >= delta);
    }
  }
}

TEST_CASE("delta falls in epsilon, and at a negative epsilon is at least 1 - e^epsilon") {
  for (const Plan& plan : mixed_plans()) {
    Bracket last{1, 1, 1};
    for (const double epsilon : {-30.0, -3.0, -0.5, -1e-3, 0.0, 0.1, 0.5, 1.0, 3.0, 10.0}) {
      CAPTURE(epsilon);
      const Bracket found = delta_of(plan, epsilon, 1e-3);
      CHECK(may_be_at_most(found, last));
      CHECK(found.upper >= -std::expm1(epsilon));
      CHECK(found.upper <= 1);
      last = found;
    }
  }
}

TEST_CASE("a release of rarely sampled events beside a Gaussian costs at least the Gaussian alone") {
  for (const double sigma : {5.0, 20.0}) {
    for (const double rate : {1e-6, 3e-5}) {
      for (const std::int64_t count : {200, 3000}) {
        for (const double delta : {1e-6, 1e-11}) {
          const Bracket alone = epsilon_of({{}, {gaussian(sigma, 1, 1)}}, delta);
          const Plan plan{Adjacency::remove_one, {gaussian(sigma, 1, 1), gaussian(0.9, rate, count)}};
          for (const Engine engine : {Engine::lattice, Engine::automatic}) {
            const Bracket both = certified_epsilon(plan, Delta(delta), {engine, RelativeWidth(1e-4)}).bracket;
            CAPTURE(sigma);
            CAPTURE(rate);
            CAPTURE(count);
            CAPTURE(delta);
            CAPTURE(engine == Engine::lattice);
            CHECK(alone.lower <= both.upper);
            CHECK(delta_of(plan, both.upper).lower <= delta);
          }
        }
      }
    }
  }
}

TEST_CASE("replace-one Gaussian is that of half the noise") {
  for (const double sigma : {0.5, 2.0, 30.0}) {
    const Plan replaced{Adjacency::replace_one, {gaussian(sigma, 1, 4)}};
    const Plan halved{Adjacency::add_or_remove_one, {gaussian(sigma / 2, 1, 4)}};
    CHECK(epsilon_of(replaced, 1e-6).lower == epsilon_of(halved, 1e-6).lower);
    CHECK(epsilon_of(replaced, 1e-6).upper == epsilon_of(halved, 1e-6).upper);
  }
}

TEST_CASE("composed approximate mechanisms meet the exact binomial sum") {
  for (const double e : {0.01, 0.1, 1.0}) {
    for (const double d : {0.0, 1e-12, 1e-5, 0.01}) {
      for (const int k : {2, 10, 61}) {
        const Plan plan{{}, {approximate(e, d, k)}};
        for (const double share : {0.0, 0.21, 0.77, 0.999, 1.5}) {
          const double epsilon = share * k * e;
          const long double truth = binomial_delta(e, d, k, epsilon);
          // the sum's own rounding is that of lgamma: some hundred units of long double
          const long double slack = share >= 1 ? 1e-18L : 1e-16L;
          for (const Engine engine : {Engine::automatic, Engine::lattice}) {
            const Bracket found = certified_delta(plan, Epsilon(epsilon), {engine, RelativeWidth(1e-4)}).bracket;
            CAPTURE(e);
            CAPTURE(d);
            CAPTURE(k);
            CAPTURE(epsilon);
            CAPTURE(static_cast<double>(truth));
            CAPTURE(static_cast<double>(found.lower - truth));
            CAPTURE(static_cast<double>(found.upper - truth));
            CHECK(found.lower <= truth * (1 + slack));
            CHECK(found.upper >= truth * (1 - slack));
          }
        }
      }
    }
  }
}

TEST_CASE("nothing released costs nothing") {
  for (const Adjacency a : {Adjacency::add_or_remove_one, Adjacency::replace_one, Adjacency::replace_special,
                            Adjacency::add_one, Adjacency::remove_one}) {
    const Plan plan{a, {}};
    CHECK(epsilon_of(plan, 1e-9).upper == 0);
    CHECK(delta_of(plan, 0).upper == 0);
    CHECK(delta_of(plan, 3).upper == 0);
  }
}

TEST_CASE("at a delta of at least the total variation epsilon is 0") {
  for (const Plan& plan : mixed_plans()) {
    const Bracket variation = delta_of(plan, 0);
    if (!(variation.upper < 1)) continue;
    const Bracket above = epsilon_of(plan, std::min(variation.upper * 1.001, 0.999999));
    CHECK(above.lower == 0);
    CHECK(above.upper <= 1e-9);
    CHECK(epsilon_of(plan, variation.lower * 0.99).upper > 0);
  }
}

TEST_CASE("a certain part of infinite loss above delta makes epsilon infinite, on both ends") {
  const double infinite = std::numeric_limits<double>::infinity();
  for (const Plan& plan : {Plan{{}, {approximate(1, 1e-3, 1)}}, Plan{{}, {approximate(0.5, 1e-3, 5)}},
                           Plan{{}, {approximate(0, 1e-3, 1), gaussian(1, 0.01, 100)}},
                           Plan{Adjacency::remove_one, {{EpsilonDelta{0.3, 0.1}, PoissonSampling{0.01}, 3}}}}) {
    CHECK(epsilon_of(plan, 9e-4).lower == infinite);
    CHECK(epsilon_of(plan, 9e-4).upper == infinite);
    CHECK(std::isfinite(epsilon_of(plan, 0.02).upper));
    CHECK(delta_of(plan, 100).lower >= 0.00099);
  }
}

TEST_CASE("a divergence below the range of doubles is never called zero") {
  const Plan plan = dpsgd_plan(1, 1e-6, 1000, Adjacency::remove_one);  // unbounded losses: delta > 0 everywhere
  for (const double epsilon : {60.0, 800.0, 3000.0}) {
    CAPTURE(epsilon);
    CHECK(certified_delta(plan, Epsilon(epsilon)).bracket.upper > 0);
    CHECK(certified_delta(plan, Epsilon(epsilon), {.engine = Engine::lattice}).bracket.upper > 0);
  }
  const Bracket tiny = certified_epsilon(plan, Delta(1e-310)).bracket;
  CHECK(std::isfinite(tiny.upper));
  CHECK(tiny.upper > certified_epsilon(plan, Delta(1e-30)).bracket.upper);
}
