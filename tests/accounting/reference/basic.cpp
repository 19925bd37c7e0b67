#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/basic.hpp>

using namespace dpflash::accounting;

TEST_CASE("one Gaussian pays its exact epsilon") {
  const Bracket one = basic_epsilon(dpsgd_plan(1, 1, 1), Delta(1e-5));
  CHECK(one.upper == doctest::Approx(4.37717809568122462765).epsilon(1e-12));
  CHECK(one.upper >= 4.37717809568122462765 * (1 - 1e-15));
  CHECK(one.lower == 0);
}

TEST_CASE("equal steps are the count times one step at an equal share of delta") {
  for (const Adjacency adjacency : {Adjacency::add_or_remove_one, Adjacency::replace_one}) {
    const double many = basic_epsilon(dpsgd_plan(2, 0.1, 1000, adjacency), Delta(1e-5)).upper;
    const double one = basic_epsilon(dpsgd_plan(2, 0.1, 1, adjacency), Delta(1e-8)).upper;
    CHECK(many == doctest::Approx(1000 * one).epsilon(1e-10));
  }
}

TEST_CASE("counts and repetition agree") {
  Plan twice = dpsgd_plan(1.5, 0.02, 10);
  twice.events.push_back(twice.events[0]);
  CHECK(basic_epsilon(twice, Delta(1e-6)).upper ==
        doctest::Approx(basic_epsilon(dpsgd_plan(1.5, 0.02, 20), Delta(1e-6)).upper).epsilon(1e-12));
}

TEST_CASE("an (epsilon, delta) event takes its own delta first") {
  Plan plan{Adjacency::add_or_remove_one, {Event{EpsilonDelta{0.5, 1e-6}, NoSampling{}, 4}}};
  CHECK(basic_epsilon(plan, Delta(1e-5)).upper == doctest::Approx(2).epsilon(1e-13));
  CHECK(std::isinf(basic_epsilon(plan, Delta(3e-6)).upper));
  CHECK(basic_delta(plan, Epsilon(2.0001)).upper == doctest::Approx(4e-6).epsilon(1e-12));
  CHECK(basic_delta(plan, Epsilon(1.9)).upper == 1);
  plan.events.push_back(Event{Gaussian{1}, NoSampling{}, 1});
  const double gaussian = basic_epsilon(dpsgd_plan(1, 1, 1), Delta(6e-6)).upper;
  CHECK(basic_epsilon(plan, Delta(1e-5)).upper == doctest::Approx(2 + gaussian).epsilon(1e-9));
}

TEST_CASE("delta inverts epsilon") {
  const Plan plan = dpsgd_plan(1, 0.01, 50);
  const double epsilon = basic_epsilon(plan, Delta(1e-5)).upper;
  CHECK(basic_delta(plan, Epsilon(epsilon)).upper == doctest::Approx(1e-5).epsilon(1e-6));
}

TEST_CASE("tiny shares of delta are answered") {
  const double upper = basic_epsilon(dpsgd_plan(1, 0.01, 1000000000), Delta(1e-30)).upper;
  CHECK(std::isfinite(upper));
  CHECK(upper > 1e9);
}
