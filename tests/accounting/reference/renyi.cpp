#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <dpflash/accounting/renyi.hpp>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

using namespace dpflash::accounting;

namespace {

nlohmann::json oracle() {
  std::ifstream file(DPFLASH_TEST_DATA "/oracle_accounting.json");
  return nlohmann::json::parse(file);
}

Adjacency adjacency_of(const std::string& name) {
  for (const Adjacency a : {Adjacency::remove_one, Adjacency::add_one, Adjacency::replace_one}) {
    if (name_of(a) == name) return a;
  }
  return Adjacency::add_or_remove_one;
}

Plan one_event(Mechanism mechanism, Sampling sampling, std::int64_t count = 1,
               Adjacency adjacency = Adjacency::add_or_remove_one) {
  return {adjacency, {Event{mechanism, sampling, count}}};
}

}  // namespace

TEST_CASE("divergences agree with the oracle and are never below it") {
  int asked = 0;
  for (const auto& item : oracle()) {
    if (item["quantity"] != "rdp") continue;
    const std::string plan_text = item["plan"].dump();
    if (plan_text.find("randomized_response") != std::string::npos) continue;
    CAPTURE(item["id"].get<std::string>());
    const double truth = std::stod(item["value"].get<std::string>());
    const double ours = renyi_divergence(parse_plan(plan_text), item["at"]["order"].get<double>());
    CHECK(ours >= truth * (1 - 1e-13));
    CHECK(ours <= truth * (1 + 1e-11));
    ++asked;
  }
  CHECK(asked >= 13);
}

TEST_CASE("conversions agree with the oracle") {
  for (const auto& item : oracle()) {
    const std::string quantity = item["quantity"];
    if (quantity != "epsilon_from_rdp_classic" && quantity != "epsilon_from_rdp_improved") continue;
    const auto conversion =
        quantity == "epsilon_from_rdp_classic" ? RenyiConversion::classic : RenyiConversion::improved;
    const double truth = std::stod(item["value"].get<std::string>());
    const RenyiAnswer ours =
        rdp_epsilon(parse_plan(item["plan"].dump()), Delta(item["at"]["delta"].get<double>()), conversion);
    CHECK(ours.bracket.upper >= truth * (1 - 1e-13));
    CHECK(ours.bracket.upper <= truth * (1 + 1e-8));
    CHECK(ours.bracket.lower == 0);
    CHECK(ours.bracket.estimate == ours.bracket.upper);
  }
}

TEST_CASE("sampled divergences agree with direct quadrature at high precision") {
  std::ifstream file(DPFLASH_TEST_DATA "/renyi_moments.csv");
  std::string line;
  std::getline(file, line);
  int asked = 0;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string noise, mechanism, rate, adjacency, order, value;
    for (std::string* field : {&noise, &mechanism, &rate, &adjacency, &order, &value})
      std::getline(fields, *field, ',');
    CAPTURE(line);
    const Sampling sampling = PoissonSampling{std::stod(rate)};
    const Mechanism kind =
        mechanism == "gaussian" ? Mechanism(Gaussian{std::stod(noise)}) : Mechanism(Laplace{std::stod(noise)});
    const double truth = std::stod(value);
    const double ours = renyi_divergence(one_event(kind, sampling, 1, adjacency_of(adjacency)), std::stod(order));
    CHECK(ours >= truth);
    CHECK(ours <= truth * (1 + 2e-12));
    ++asked;
  }
  CHECK(asked >= 40);
}

TEST_CASE("replace-one doubles the sensitivity of an unsampled Gaussian") {
  const Plan plan = dpsgd_plan(2, 1, 10, Adjacency::replace_one);
  CHECK(renyi_divergence(plan, 3) == doctest::Approx(4 * renyi_divergence(dpsgd_plan(2, 1, 10), 3)).epsilon(1e-14));
  CHECK(rdp_epsilon(plan, Delta(1e-5)).bracket.upper > 17.857);
}

TEST_CASE("a sampled Gaussian at rate near one is the Gaussian") {
  for (const Adjacency adjacency : {Adjacency::remove_one, Adjacency::add_one}) {
    const double ours = renyi_divergence(dpsgd_plan(1.5, 1 - 1e-12, 1, adjacency), 7);
    CHECK(ours == doctest::Approx(7 / (2 * 1.5 * 1.5)).epsilon(1e-8));
  }
  CHECK(renyi_divergence(dpsgd_plan(1.5, 1 - 1e-12, 1, Adjacency::replace_one), 7) ==
        doctest::Approx(4 * 7 / (2 * 1.5 * 1.5)).epsilon(1e-8));
}

TEST_CASE("extreme orders, noises and rates give finite bounds that order and rate respect") {
  for (const Adjacency adjacency : {Adjacency::remove_one, Adjacency::add_one, Adjacency::replace_one}) {
    for (const double sigma : {0.02, 0.3, 1.0, 30.0, 1e4}) {
      for (const double rate : {1e-9, 1e-3, 0.5, 0.999}) {
        double before = 0;
        for (const double order : {1 + 1e-6, 1.5, 2.0, 30.0, 1e3, 1e6, 1e8}) {
          CAPTURE(name_of(adjacency));
          CAPTURE(sigma);
          CAPTURE(rate);
          CAPTURE(order);
          const double ours = renyi_divergence(dpsgd_plan(sigma, rate, 1, adjacency), order);
          const double scale = adjacency == Adjacency::replace_one ? 4 : 1;
          CHECK(std::isfinite(ours));
          CHECK(ours >= before * (1 - 1e-11));
          CHECK(ours <= scale * order / (2 * sigma * sigma) * (1 + 1e-11));
          before = ours;
        }
      }
    }
  }
}

TEST_CASE("remove dominates add: the theorem that the search relies on for tightness") {
  for (const double sigma : {0.5, 1.0, 5.0}) {
    for (const double rate : {1e-4, 0.05, 0.6}) {
      for (const double order : {1.01, 2.0, 9.5, 80.0}) {
        const double remove = renyi_divergence(dpsgd_plan(sigma, rate, 1, Adjacency::remove_one), order);
        CHECK(remove >= renyi_divergence(dpsgd_plan(sigma, rate, 1, Adjacency::add_one), order) * (1 - 1e-11));
        CHECK(renyi_divergence(dpsgd_plan(sigma, rate, 1), order) == remove);
      }
    }
  }
}

TEST_CASE("large orders of a sampled Gaussian follow the analytic peak") {
  // Beyond the transition ln A = a(a-1)/(2 sigma^2) + a ln q up to e^-(something large).
  for (const double order : {2e3, 1e5, 1e7}) {
    const double truth = (order * (order - 1) / 2 + order * std::log(0.01)) / (order - 1);
    const double ours = renyi_divergence(dpsgd_plan(1, 0.01, 1, Adjacency::remove_one), order);
    CHECK(ours == doctest::Approx(truth).epsilon(1e-10));
    CHECK(ours >= truth * (1 - 1e-13));
  }
}

TEST_CASE("the two-point law of a pure mechanism") {
  const double epsilon = 1, order = 4.5, p = std::exp(epsilon) / (1 + std::exp(epsilon));
  const double truth =
      std::log(std::pow(p, order) * std::pow(1 - p, 1 - order) + std::pow(1 - p, order) * std::pow(p, 1 - order)) /
      (order - 1);
  CHECK(renyi_divergence(one_event(EpsilonDelta{epsilon, 0}, NoSampling{}), order) ==
        doctest::Approx(truth).epsilon(1e-13));
  const double q = 0.2, r1 = 1 - q + q * std::exp(epsilon), r2 = 1 - q + q * std::exp(-epsilon);
  const double sampled = std::log((1 - p) * std::pow(r1, order) + p * std::pow(r2, order)) / (order - 1);
  CHECK(renyi_divergence(one_event(EpsilonDelta{epsilon, 0}, PoissonSampling{q}), order) ==
        doctest::Approx(sampled).epsilon(1e-13));
  CHECK(std::isinf(renyi_divergence(one_event(EpsilonDelta{1, 1e-9}, NoSampling{}), 2)));
}

TEST_CASE("epsilon never exceeds the sum of pure epsilons, nor falls below zero") {
  const Plan plan = one_event(Laplace{2}, NoSampling{}, 3);
  const RenyiAnswer tiny = rdp_epsilon(plan, Delta(1e-300));
  CHECK(tiny.bracket.upper <= 1.5 * (1 + 1e-13));
  CHECK(rdp_delta(plan, Epsilon(1.5 * (1 + 1e-10))).bracket.upper == 0);
  CHECK(rdp_epsilon(dpsgd_plan(1e4, 1e-6, 10), Delta(0.1)).bracket.upper == 0);
  CHECK(rdp_epsilon(Plan{}, Delta(1e-5)).bracket.upper == 0);
}

TEST_CASE("delta inverts epsilon") {
  for (const RenyiConversion conversion : {RenyiConversion::improved, RenyiConversion::classic}) {
    const Plan plan = dpsgd_plan(1, 0.01, 1000);
    const RenyiAnswer epsilon = rdp_epsilon(plan, Delta(1e-7), conversion);
    const RenyiAnswer delta = rdp_delta(plan, Epsilon(epsilon.bracket.upper), conversion);
    CHECK(delta.bracket.upper == doctest::Approx(1e-7).epsilon(1e-6));
  }
}

TEST_CASE("the order found beats every order of a fine grid") {
  const Plan plan = dpsgd_plan(0.8, 0.004, 20000);
  const double best = rdp_epsilon(plan, Delta(1e-6)).bracket.upper;
  for (double t = std::log(1e-3); t < std::log(300); t += 0.02) {
    const double a = std::exp(t);
    const double at = renyi_divergence(plan, 1 + a) - std::log1p(1 / a) + (-std::log(1e-6) - std::log1p(a)) / a;
    CHECK(best <= at * (1 + 1e-8));
  }
}

TEST_CASE("unusable orders are named") { CHECK_THROWS_AS(renyi_divergence(Plan{}, 1), UnusableInput); }
