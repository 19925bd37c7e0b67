#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/calibrate.hpp>
#include <dpflash/accounting/compare.hpp>
#include <dpflash/accounting/error.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace dpflash::accounting;

TEST_CASE("noise for a Gaussian meets the oracle from the safe side") {
  std::ifstream file(DPFLASH_TEST_DATA "/oracle_accounting.json");
  int asked = 0;
  for (const auto& item : nlohmann::json::parse(file)) {
    if (item["quantity"] != "noise_multiplier") continue;
    const double truth = std::stod(item["value"].get<std::string>());
    const Epsilon target(item["at"]["epsilon"].get<double>());
    const Delta delta(item["at"]["delta"].get<double>());
    const Calibration found = calibrate(dpsgd_plan(1, 1, 1), 0, Unknown::noise_multiplier, target, delta);
    CHECK(found.value >= truth * (1 - 1e-12));
    CHECK(found.value <= truth * (1 + 3e-6));
    CHECK(found.answer.bracket.upper <= target.value());
    ++asked;
  }
  CHECK(asked == 3);
}

TEST_CASE("each unknown of a DP-SGD run is found, certified and not wastefully safe") {
  const Epsilon target(3);
  const Delta delta(1e-5);
  const Plan plan = dpsgd_plan(1.1, 0.004, 20000);
  for (const Unknown unknown : {Unknown::noise_multiplier, Unknown::steps, Unknown::sampling_rate}) {
    const Calibration found = calibrate(plan, 0, unknown, target, delta);
    CAPTURE(found.value);
    CHECK(found.answer.bracket.upper <= target.value());
    CHECK(found.answer.bracket.upper >= target.value() * (1 - 1e-4));
    Plan check = plan;
    auto& event = check.events[0];
    if (unknown == Unknown::noise_multiplier) event.mechanism = Gaussian{found.value};
    if (unknown == Unknown::steps) event.count = static_cast<std::int64_t>(found.value);
    if (unknown == Unknown::sampling_rate) event.sampling = PoissonSampling{found.value};
    CHECK(certified_epsilon(check, delta, {.relative_width = RelativeWidth(1e-6)}).bracket.upper <= target.value());
  }
  CHECK(calibrate(plan, 0, Unknown::noise_multiplier, target, delta).value == doctest::Approx(1.03339).epsilon(2e-5));
}

TEST_CASE("targets that no value meets are refused with the reason") {
  Plan plan = dpsgd_plan(1, 0.01, 1000);
  plan.events.push_back(Event{Gaussian{0.5}, NoSampling{}, 1});
  CHECK_THROWS_AS(calibrate(plan, 0, Unknown::noise_multiplier, Epsilon(1), Delta(1e-5)), NotComputable);
  CHECK_THROWS_AS(calibrate(dpsgd_plan(0.1, 1, 1), 0, Unknown::steps, Epsilon(1), Delta(1e-5)), NotComputable);
  CHECK_THROWS_AS(calibrate(plan, 0, Unknown::noise_multiplier, Epsilon(0), Delta(1e-5)), UnusableInput);
  CHECK_THROWS_AS(calibrate(plan, 5, Unknown::noise_multiplier, Epsilon(1), Delta(1e-5)), UnusableInput);
  const Plan pure{Adjacency::add_or_remove_one, {Event{EpsilonDelta{0.1, 0}, NoSampling{}, 1}}};
  CHECK_THROWS_AS(calibrate(pure, 0, Unknown::noise_multiplier, Epsilon(1), Delta(1e-5)), UnusableInput);
}

TEST_CASE("a rate of one is the answer where everything is allowed") {
  CHECK(calibrate(dpsgd_plan(10, 0.5, 1), 0, Unknown::sampling_rate, Epsilon(5), Delta(1e-5)).value == 1);
}

TEST_CASE("accountants side by side, in order, none below the certified lower end") {
  const auto results = compare(dpsgd_plan(1, 0.01, 1000), Delta(1e-5));
  REQUIRE(results.size() == 4);
  CHECK(results[0].accountant == "pld");
  CHECK(results[1].accountant == "rdp");
  CHECK(results[2].accountant == "rdp-classic");
  CHECK(results[3].accountant == "basic");
  for (const auto& result : results) CHECK(result.epsilon.upper >= results[0].epsilon.lower);
  CHECK(results[1].epsilon.upper <= results[2].epsilon.upper);
  CHECK(results[1].order.has_value());
  CHECK(!results[0].engine.empty());
}
