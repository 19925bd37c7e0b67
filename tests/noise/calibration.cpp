// A scale is what the accountant certifies, and nothing makes a calibration but the factories.
#include "dpflash/noise/calibration.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/calibrate.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <dpflash/accounting/renyi.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

using namespace dpflash;
using accounting::Adjacency;
using accounting::Delta;
using accounting::Epsilon;
using accounting::NoiseMultiplier;
using accounting::SamplingRate;
using noise::Calibration;
using noise::Family;
using noise::Releases;

namespace {

constexpr double kHuge = std::numeric_limits<double>::infinity();
const Delta kDelta(1e-5);

double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// Balle, Wang 2018, theorem 8.
double analytic_delta(double mu, double epsilon) {
  return phi(mu / 2 - epsilon / mu) - std::exp(epsilon) * phi(-mu / 2 - epsilon / mu);
}

// What the certificate says is what the accountant says of the plan in it.
void check_certificate(const Calibration& c) {
  const auto json = nlohmann::json::parse(c.certificate());
  CHECK(json.at("family") == std::string(noise::name_of(c.family())));
  CHECK(json.at("noise_multiplier").get<double>() == c.noise_multiplier());
  CHECK(json.at("delta").get<double>() == c.delta().value());
  CHECK(json.at("accountant") == std::string(c.accountant()));
  CHECK(json.contains("engine") == (c.accountant() == "pld"));
  CHECK(json.at("event").get<std::size_t>() == c.event());
  CHECK(json.at("epsilon").at("upper").get<double>() == c.epsilon().upper);
  const auto plan = accounting::parse_plan(json.at("plan").dump());
  CHECK(accounting::plan_to_json(plan) == accounting::plan_to_json(c.plan()));
  if (c.accountant() == "pld")
    CHECK(accounting::certified_epsilon(plan, c.delta()).bracket.lower <= c.epsilon().upper);
  else
    CHECK(accounting::rdp_epsilon(plan, c.delta()).bracket.upper == c.epsilon().upper);
}

}  // namespace

static_assert(!std::is_default_constructible_v<Calibration>);
static_assert(!std::is_constructible_v<Calibration, double>);
static_assert(!std::is_constructible_v<Calibration, NoiseMultiplier>);

TEST_CASE("one Gaussian release is the analytic Gaussian") {
  for (const double epsilon : {0.1, 1.0, 8.0}) {
    const auto c = Calibration::gaussian_for(Epsilon(epsilon), kDelta);
    CHECK(c.answer().engine == accounting::Engine::closed_form);
    CHECK(c.epsilon().upper <= epsilon);
    CHECK(analytic_delta(1 / c.noise_multiplier(), epsilon) <= 1e-5 * (1 + 1e-9));
    CHECK(analytic_delta(1 / (c.noise_multiplier() * (1 - 1e-5)), epsilon) > 1e-5);
    check_certificate(c);
  }
}

TEST_CASE("k unsampled releases cost one of mu sqrt k") {
  const auto one = Calibration::gaussian_for(Epsilon(2), kDelta);
  const auto many = Calibration::gaussian_for(Epsilon(2), kDelta, {.count = 100});
  CHECK(many.answer().engine == accounting::Engine::closed_form);
  CHECK(many.noise_multiplier() == doctest::Approx(10 * one.noise_multiplier()).epsilon(1e-5));
}

TEST_CASE("replace-one doubles the multiplier: the factor is in the calibration, not in the mechanism") {
  const auto one = Calibration::gaussian_for(Epsilon(2), kDelta);
  const auto replaced = Calibration::gaussian_for(Epsilon(2), kDelta, {.adjacency = Adjacency::replace_one});
  CHECK(replaced.noise_multiplier() == doctest::Approx(2 * one.noise_multiplier()).epsilon(1e-5));
  const auto discrete = Calibration::discrete_gaussian_for(Epsilon(2), kDelta);
  const auto discrete_replaced =
      Calibration::discrete_gaussian_for(Epsilon(2), kDelta, {.adjacency = Adjacency::replace_one});
  CHECK(discrete_replaced.noise_multiplier() == doctest::Approx(2 * discrete.noise_multiplier()).epsilon(1e-5));
  const auto laplace =
      Calibration::discrete_laplace_stated(NoiseMultiplier(3), kDelta, {.adjacency = Adjacency::replace_one});
  CHECK(std::get<accounting::EpsilonDelta>(laplace.plan().events[0].mechanism).epsilon >= 2.0 / 3);
}

TEST_CASE("sampled releases are the accountant's own calibration") {
  const Releases releases{.count = 1000, .rate = SamplingRate(0.01)};
  const auto c = Calibration::gaussian_for(Epsilon(3), kDelta, releases);
  const auto reference = accounting::calibrate(accounting::dpsgd_plan(1, 0.01, 1000), 0,
                                               accounting::Unknown::noise_multiplier, Epsilon(3), kDelta);
  CHECK(c.noise_multiplier() == reference.value);
  CHECK(c.epsilon().upper <= 3);
  check_certificate(c);
  const auto stated = Calibration::gaussian_stated(NoiseMultiplier(c.noise_multiplier()), kDelta, releases);
  CHECK(stated.epsilon().lower <= c.epsilon().upper);
  CHECK(stated.epsilon().upper <= 3 * (1 + 1e-5));
  check_certificate(stated);
}

TEST_CASE("an event of a plan pays for the rest of the plan") {
  accounting::Plan plan = accounting::dpsgd_plan(1.0, 0.01, 500);
  plan.events.push_back({.mechanism = accounting::Gaussian{1}, .count = 3});
  plan.events.push_back({.mechanism = accounting::Laplace{10}});
  const auto in_plan = Calibration::gaussian_in_plan(plan, 1, Epsilon(3), kDelta);
  const auto alone = Calibration::gaussian_for(Epsilon(3), kDelta, {.count = 3});
  CHECK(in_plan.event() == 1);
  CHECK(in_plan.noise_multiplier() > alone.noise_multiplier());
  CHECK(accounting::certified_epsilon(in_plan.plan(), kDelta).bracket.lower <= 3);
  CHECK(in_plan.epsilon().upper <= 3);
  check_certificate(in_plan);
  const auto stated = Calibration::laplace_of_plan(in_plan.plan(), 2, kDelta);
  CHECK(stated.noise_multiplier() == 10);
  CHECK(stated.epsilon().upper <= 3 * (1 + 1e-5));
  CHECK_THROWS_AS(Calibration::gaussian_in_plan(plan, 2, Epsilon(3), kDelta), accounting::UnusableInput);
  CHECK_THROWS_AS(Calibration::laplace_of_plan(plan, 0, kDelta), accounting::UnusableInput);
  CHECK_THROWS_AS(Calibration::gaussian_of_plan(plan, 3, kDelta), accounting::UnusableInput);
  CHECK_THROWS_AS(Calibration::gaussian_in_plan(plan, 1, Epsilon(0.01), kDelta), accounting::NotComputable);
}

TEST_CASE("Laplace: nearly pure for one release, never below what delta allows") {
  const auto c = Calibration::laplace_for(Epsilon(1), kDelta);
  CHECK(c.family() == Family::laplace);
  CHECK(c.noise_multiplier() <= 1);
  CHECK(c.noise_multiplier() > 0.9999);
  check_certificate(c);
  CHECK_THROWS_AS(Calibration::laplace_for(Epsilon(1), kDelta, {.adjacency = Adjacency::replace_one}),
                  accounting::NotComputable);
}

TEST_CASE("the discrete Gaussian is charged the Renyi curve, and sampling is refused by name") {
  const Releases releases{.count = 20};
  const auto discrete = Calibration::discrete_gaussian_for(Epsilon(2), kDelta, releases);
  const auto continuous = Calibration::gaussian_for(Epsilon(2), kDelta, releases);
  CHECK(discrete.accountant() == "rdp");
  CHECK(discrete.noise_multiplier() > continuous.noise_multiplier());
  CHECK(discrete.noise_multiplier() < 1.2 * continuous.noise_multiplier());
  accounting::Plan smaller = discrete.plan();
  std::get<accounting::Gaussian>(smaller.events[0].mechanism).noise_multiplier *= 1 - 1e-5;
  CHECK(accounting::rdp_epsilon(smaller, kDelta).bracket.upper > 2);
  check_certificate(discrete);
  check_certificate(Calibration::discrete_gaussian_stated(NoiseMultiplier(4), kDelta));
  CHECK_THROWS_WITH_AS(Calibration::discrete_gaussian_for(Epsilon(2), kDelta, {.rate = SamplingRate(0.5)}),
                       doctest::Contains("discrete gaussian with poisson sampling"), accounting::NotComputable);
}

TEST_CASE("the discrete Laplace is pure epsilon, composed") {
  const auto one = Calibration::discrete_laplace_for(Epsilon(0.5), kDelta);
  CHECK(one.noise_multiplier() == doctest::Approx(2).epsilon(1e-3));
  const auto many = Calibration::discrete_laplace_for(Epsilon(1), kDelta, {.count = 50});
  CHECK(many.noise_multiplier() < 50);
  CHECK(many.epsilon().upper <= 1);
  check_certificate(many);
  const auto sampled = Calibration::discrete_laplace_stated(NoiseMultiplier(1), kDelta, {.rate = SamplingRate(0.1)});
  CHECK(sampled.epsilon().upper < 0.3);
}

TEST_CASE("what no release can have is refused") {
  using accounting::UnusableInput;
  CHECK_THROWS_AS(Calibration::gaussian_for(Epsilon(0), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::gaussian_for(Epsilon(-1), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::gaussian_for(Epsilon(kHuge), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::gaussian_for(Epsilon(1), kDelta, {.count = 0}), UnusableInput);
  CHECK_THROWS_AS(Calibration::gaussian_for(Epsilon(1), kDelta, {.count = -5}), UnusableInput);
  CHECK_THROWS_AS(Calibration::gaussian_stated(NoiseMultiplier(1e-9), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::gaussian_stated(NoiseMultiplier(1e12), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::discrete_gaussian_for(Epsilon(0), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::discrete_gaussian_stated(NoiseMultiplier(1e-4), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::discrete_laplace_stated(NoiseMultiplier(2e9), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::discrete_laplace_for(Epsilon(kHuge), kDelta), UnusableInput);
  CHECK_THROWS_AS(Calibration::discrete_gaussian_for(Epsilon(1e-12), Delta(1e-300)), accounting::NotComputable);
  CHECK_THROWS_AS(Calibration::gaussian_for(Epsilon(1e-12), Delta(1e-300)), accounting::NotComputable);
}
