#include <doctest/doctest.h>

#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan.hpp>
#include <dpflash/accounting/quantities.hpp>
#include <limits>
#include <string>

using namespace dpflash::accounting;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

/// What validate() says of one event after a good one; empty when it has no objection.
std::string objection(const Event& event) {
  try {
    validate(Plan{.events = {Event{.mechanism = Gaussian{1}}, event}});
  } catch (const UnusableInput& error) {
    return error.what();
  }
  return "";
}

Event gaussian(double noise_multiplier) { return Event{.mechanism = Gaussian{noise_multiplier}}; }
Event poisson(double rate) { return Event{.mechanism = Gaussian{1}, .sampling = PoissonSampling{rate}}; }
Event counted(std::int64_t count) { return Event{.mechanism = Gaussian{1}, .count = count}; }

}  // namespace

TEST_CASE("an empty plan and the ends of every range are usable") {
  CHECK_NOTHROW(validate(Plan{}));
  for (const double sigma : {1e-3, 1e9}) CHECK(objection(gaussian(sigma)) == "");
  for (const double rate : {1e-15, 1.0}) CHECK(objection(poisson(rate)) == "");
  for (const std::int64_t count : {std::int64_t{1}, std::int64_t{1'000'000'000'000}})
    CHECK(objection(counted(count)) == "");
  CHECK(objection(Event{.mechanism = EpsilonDelta{0, 0}}) == "");
  CHECK(objection(Event{.mechanism = EpsilonDelta{1e6, 1}}) == "");
}

TEST_CASE("the message names the field, its value and what is allowed") {
  CHECK(objection(gaussian(-1)) == "events[1].mechanism.noise_multiplier: -1 is not allowed; a number in [0.001, 1e9]");
  CHECK(objection(poisson(1.5)) == "events[1].sampling.rate: 1.5 is not allowed; a number in (0, 1], not below 1e-15");
  CHECK(objection(counted(0)) == "events[1].count: 0 is not allowed; an integer in [1, 1e12]");
}

TEST_CASE("NaN, infinities and values out of range are refused in every field") {
  for (const double bad : {kNan, kInf, -kInf, 0.0, -1.0, 1e-4, 1e10}) {
    CAPTURE(bad);
    CHECK(objection(gaussian(bad)) != "");
    CHECK(objection(Event{.mechanism = Laplace{bad}}) != "");
  }
  for (const double bad : {kNan, kInf, 0.0, -0.5, 1.0000001, 1e-16}) CHECK(objection(poisson(bad)) != "");
  for (const double bad : {kNan, kInf, -0.5, 2e6}) CHECK(objection(Event{.mechanism = EpsilonDelta{bad, 0}}) != "");
  for (const double bad : {kNan, kInf, -0.5, 1.1}) CHECK(objection(Event{.mechanism = EpsilonDelta{1, bad}}) != "");
  for (const std::int64_t bad : {std::int64_t{-5}, std::int64_t{1'000'000'000'001}})
    CHECK(objection(counted(bad)) != "");
  CHECK_THROWS_AS(validate(Plan{.adjacency = static_cast<Adjacency>(9)}), UnusableInput);
}

TEST_CASE("counts add up to at most 1e15") {
  Plan plan;
  plan.events.assign(1000, counted(1'000'000'000'000));
  CHECK_NOTHROW(validate(plan));
  plan.events.push_back(counted(1));
  CHECK_THROWS_WITH_AS(validate(plan),
                       "events[1000].count: 1 is not allowed; counts that add up to at most 1e15 over all events",
                       UnusableInput);
}

TEST_CASE("the DP-SGD shorthand is one event, unsampled at rate 1") {
  const Plan sampled = dpsgd_plan(1.1, 0.01, 500, Adjacency::remove_one);
  REQUIRE(sampled.events.size() == 1);
  CHECK(sampled.adjacency == Adjacency::remove_one);
  CHECK(std::get<Gaussian>(sampled.events[0].mechanism).noise_multiplier == 1.1);
  CHECK(std::get<PoissonSampling>(sampled.events[0].sampling).rate == 0.01);
  CHECK(sampled.events[0].count == 500);
  CHECK(std::holds_alternative<NoSampling>(dpsgd_plan(1.1, 1, 500).events[0].sampling));
  CHECK_THROWS_AS(dpsgd_plan(kNan, 0.01, 500), UnusableInput);
  CHECK_THROWS_AS(dpsgd_plan(1, 0, 500), UnusableInput);
  CHECK_THROWS_AS(dpsgd_plan(1, 0.01, 0), UnusableInput);
}

TEST_CASE("strong types refuse what they cannot hold") {
  for (const double bad : {kNan, 0.0, 1.0, -1.0, kInf}) CHECK_THROWS_AS(Delta{bad}, UnusableInput);
  CHECK_THROWS_AS(Epsilon{kNan}, UnusableInput);
  CHECK(Epsilon{-0.5}.value() == -0.5);
  for (const double bad : {kNan, 0.0, -1.0, kInf}) CHECK_THROWS_AS(NoiseMultiplier{bad}, UnusableInput);
  for (const double bad : {kNan, 0.0, 1.5}) CHECK_THROWS_AS(SamplingRate{bad}, UnusableInput);
  for (const double bad : {kNan, 0.0, 1e-13, 1.5}) CHECK_THROWS_AS(RelativeWidth{bad}, UnusableInput);
  CHECK_THROWS_WITH_AS(Delta{2.0}, "delta: 2 is not allowed; a number in (0, 1)", UnusableInput);
}

TEST_CASE("names are the ones of the documents") {
  CHECK(name_of(Adjacency::add_or_remove_one) == "add-or-remove-one");
  CHECK(name_of(Adjacency::replace_one) == "replace-one");
  CHECK(name_of(Adjacency::replace_special) == "replace-special");
  CHECK(name_of(Adjacency::add_one) == "add-one");
  CHECK(name_of(Adjacency::remove_one) == "remove-one");
  CHECK(name_of(Unknown::noise_multiplier) == "noise-multiplier");
  CHECK(name_of(Unknown::steps) == "steps");
  CHECK(name_of(Unknown::sampling_rate) == "sampling-rate");
}
