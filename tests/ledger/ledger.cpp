// Spends, reservations, budgets and labels.
#include <cmath>
#include <limits>
#include <thread>

#include "cases.hpp"

using namespace cases;

TEST_CASE("a spend is composed with all others, and recorded with who made it") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget());
  const Receipt first =
      ledger.spend(gaussian(4, 3), {.run = "a", .layer = "decoder.0", .head = "2", .steps = {{0, 2}}});
  const Receipt second = ledger.spend(gaussian(1.1, 100, 0.01), {.run = "b"});
  CHECK(first.sequence == 2);
  CHECK(second.sequence == 3);
  CHECK(first.hash.size() == 64);
  CHECK(first.hash != second.hash);
  Plan both = gaussian(4, 3);
  both.events.push_back(gaussian(1.1, 100, 0.01).events[0]);
  const ledger::State state = ledger.state();
  CHECK(state.spent.upper == doctest::Approx(epsilon_of(both)).epsilon(1e-6));
  CHECK(state.spent.lower <= state.spent.upper);
  CHECK(state.entries == 3);
  CHECK(state.head.hash == second.hash);
  const auto entries = ledger.entries(2, 10);
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].labels.run == "a");
  CHECK(entries[0].labels.layer == "decoder.0");
  CHECK(entries[0].labels.head == "2");
  REQUIRE(entries[0].labels.steps);
  CHECK(entries[0].labels.steps->last == 2);
  CHECK(entries[0].plan.events[0].count == 3);
  CHECK(entries[0].time.size() == 24);
  CHECK(ledger.verify({first, second}).sound());
}

TEST_CASE("the budget is the composed epsilon, not a sum, and is never passed") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget(1, 1e-5));
  // One more than what calibration allows is one too many.
  std::int64_t fits = 0;
  while (epsilon_of(gaussian(40, fits + 1)) <= 1) ++fits;
  REQUIRE(fits > 20);
  // A sum of epsilons would have refused long before.
  CHECK(epsilon_of(gaussian(40)) * static_cast<double>(fits) > 2);
  for (std::int64_t i = 0; i < fits; ++i) ledger.spend(gaussian(40));
  const ledger::State before = ledger.state();
  CHECK(before.spent.upper <= 1);
  try {
    ledger.spend(gaussian(40));
    FAIL("over budget");
  } catch (const OverBudget& error) {
    const std::string text = error.what();
    CHECK(text.find("epsilon would be 1.0") != std::string::npos);
    CHECK(text.find("1 is allowed") != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  }
  CHECK_THROWS_AS(ledger.reserve(gaussian(40)), OverBudget);
  CHECK(ledger.state().head.hash == before.head.hash);
  CHECK(ledger.verify().sound());
}

TEST_CASE("a mechanism that is only (epsilon, delta)-DP takes from both") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget(1, 1e-5));
  const Plan half{.events = {{.mechanism = accounting::EpsilonDelta{0.499, 4e-6}}}};
  ledger.spend(half);
  ledger.spend(half);
  CHECK_THROWS_AS(ledger.spend(Plan{.events = {{.mechanism = accounting::EpsilonDelta{0, 4e-6}}}}), OverBudget);
}

TEST_CASE("what is reserved counts until it is committed or given back") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget(1, 1e-5));
  const Receipt reserved = ledger.reserve(gaussian(20, 9), {.run = "planned"});
  CHECK(ledger.state().spent.upper == 0);
  CHECK(ledger.state().claimed.upper == doctest::Approx(epsilon_of(gaussian(20, 9))).epsilon(1e-6));
  CHECK_THROWS_AS(ledger.spend(gaussian(4)), OverBudget);
  ledger.commit(reserved.sequence, 4);
  REQUIRE(ledger.state().open.size() == 1);
  CHECK(ledger.state().open[0].remaining.events[0].count == 5);
  CHECK(ledger.state().open[0].labels.run == "planned");
  CHECK_THROWS_AS(ledger.commit(reserved.sequence, 6), accounting::UnusableInput);
  CHECK_THROWS_AS(ledger.commit(reserved.sequence, 0), accounting::UnusableInput);
  CHECK_THROWS_AS(ledger.commit(99), accounting::UnusableInput);
  ledger.commit(reserved.sequence);
  CHECK_THROWS_AS(ledger.commit(reserved.sequence), accounting::UnusableInput);
  CHECK_THROWS_AS(ledger.abort(reserved.sequence), accounting::UnusableInput);
  CHECK(ledger.state().spent.upper == ledger.state().claimed.upper);
  const Receipt other = ledger.reserve(gaussian(50));
  ledger.abort(other.sequence);
  CHECK(ledger.state().open.empty());
  CHECK(ledger.state().claimed.upper == ledger.state().spent.upper);
  CHECK(ledger.verify().sound());
}

TEST_CASE("a reservation of several events is committed whole") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget());
  Plan plan = gaussian(20, 9);
  plan.events.push_back(gaussian(9, 4, 0.1).events[0]);
  const Receipt reserved = ledger.reserve(plan);
  CHECK_THROWS_AS(ledger.commit(reserved.sequence, 3), accounting::UnusableInput);
  ledger.commit(reserved.sequence);
  CHECK(ledger.state().spent.upper == doctest::Approx(epsilon_of(plan)).epsilon(1e-6));
  CHECK(ledger.verify().sound());
}

TEST_CASE("labels of events stand for the layer, and shares add up to what leaving out saves") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget(10));
  Plan plan;
  for (const double noise : {2.0, 4.0, 8.0})
    plan.events.push_back({.mechanism = accounting::Gaussian{noise}, .label = "layer." + std::to_string(int(noise))});
  ledger.spend(plan, {.run = "one"});
  ledger.spend(gaussian(4), {.run = "two", .layer = "layer.4", .head = "7"});
  const ledger::Report by_layer = ledger.report(ledger::Grouping::layer);
  REQUIRE(by_layer.shares.size() == 3);
  CHECK(by_layer.shares[0].layer == "layer.2");
  CHECK(by_layer.shares[1].layer == "layer.4");
  CHECK(by_layer.shares[1].releases == 2);
  CHECK(by_layer.shares[0].alone == doctest::Approx(epsilon_of(gaussian(2))).epsilon(1e-5));
  Plan rest = gaussian(4, 2);
  rest.events.push_back(gaussian(8).events[0]);
  CHECK(by_layer.shares[0].without == doctest::Approx(epsilon_of(rest)).epsilon(1e-5));
  CHECK(by_layer.shares[0].marginal == doctest::Approx(by_layer.state.spent.upper - epsilon_of(rest)).epsilon(1e-4));
  CHECK(ledger.report(ledger::Grouping::run).shares.size() == 2);
  CHECK(ledger.report(ledger::Grouping::head).shares.size() == 4);
  CHECK(ledger.report(ledger::Grouping::all).shares.size() == 4);
  CHECK_THROWS_AS(ledger.report(ledger::Grouping::layer, [](double) { return false; }), accounting::NotComputable);
  const std::string chart = to_svg(by_layer);
  CHECK(chart.find("layer.2") != std::string::npos);
  CHECK(chart.find("</svg>") != std::string::npos);
}

TEST_CASE("what is unusable is named, and nothing is recorded") {
  const Folder folder;
  CHECK_THROWS_AS(Ledger::create("", budget()), accounting::UnusableInput);
  CHECK_THROWS_AS(Ledger::create(":memory:", budget()), accounting::UnusableInput);
  CHECK_THROWS_AS(Ledger::create(folder.file(), budget(-1)), accounting::UnusableInput);
  CHECK_THROWS_AS(Ledger::create(folder.file(), budget(std::numeric_limits<double>::infinity())),
                  accounting::UnusableInput);
  Ledger ledger = Ledger::create(folder.file(), budget());
  CHECK_THROWS_AS(Ledger::create(folder.file(), budget()), LedgerError);
  const auto refused = [&](const Plan& plan, const Labels& labels = {}) -> std::string {
    try {
      ledger.spend(plan, labels);
    } catch (const accounting::UnusableInput& error) {
      return error.field();
    }
    return "";
  };
  CHECK(refused({}) == "plan.events");
  CHECK(refused(gaussian(0)) == "events[0].mechanism.noise_multiplier");
  Plan other = gaussian(4);
  other.adjacency = Adjacency::replace_one;
  CHECK(refused(other) == "plan.adjacency");
  CHECK(refused(gaussian(4), {.run = std::string(257, 'x')}) == "labels.run");
  CHECK(refused(gaussian(4), {.layer = "a\nb"}) == "labels.layer");
  CHECK(refused(gaussian(4), {.head = "\xff"}) == "labels.head");
  CHECK(refused(gaussian(4), {.steps = {{5, 4}}}) == "labels.steps");
  // No sound answer: not recorded either.
  CHECK_THROWS_AS(
      Ledger::create(folder.file("r.db"), budget(3, 1e-5, Adjacency::replace_one))
          .spend({.adjacency = Adjacency::replace_one,
                  .events = {{.mechanism = accounting::Laplace{5}, .sampling = accounting::PoissonSampling{0.1}}}}),
      accounting::NotComputable);
  CHECK(ledger.state().entries == 1);
  CHECK_THROWS_AS(static_cast<void>(ledger.entries(0, 1)), accounting::UnusableInput);
  CHECK(ledger.verify().sound());
}

TEST_CASE("many writers in threads: every spend is there once") {
  const Folder folder;
  Ledger::create(folder.file(), budget());
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      Ledger ledger(folder.file());
      for (int i = 0; i < 10; ++i) ledger.spend(gaussian(50), {.run = std::to_string(t)});
    });
  for (std::thread& thread : threads) thread.join();
  const Ledger ledger(folder.file(), Ledger::Access::read);
  CHECK(ledger.state().entries == 81);
  CHECK(ledger.verify().sound());
  for (const ledger::Share& share : ledger.report(ledger::Grouping::run).shares) CHECK(share.releases == 10);
}

TEST_CASE("counts beyond 1e12 of one mechanism are kept") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget(5));
  for (int i = 0; i < 3; ++i) ledger.spend(gaussian(1e8, 1'000'000'000'000));
  CHECK(ledger.state().spent.upper == doctest::Approx(epsilon_of(gaussian(1e8 / std::sqrt(3e12)))).epsilon(1e-5));
  CHECK(ledger.verify().sound());
}

TEST_CASE("answers as JSON") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget());
  const Receipt receipt = ledger.spend(gaussian(4), {.run = "a \"quoted\" run"});
  CHECK(ledger::to_json(ledger.state()).find("\"budget\":{\"epsilon\":3.0") != std::string::npos);
  CHECK(ledger::to_json(ledger.entries(2, 1)[0]).find("a \\\"quoted\\\" run") != std::string::npos);
  CHECK(ledger::to_json(ledger.verify()).find("\"sound\":true") != std::string::npos);
  const Receipt read = ledger::parse_receipt(std::to_string(receipt.sequence) + ":" + receipt.hash, "receipt");
  CHECK(read.hash == receipt.hash);
  for (const char* bad : {"", "2", "2:", "x:00", "2:zz",
                          "0:"
                          "0000000000000000000000000000000000000000000000000000000000000000"})
    CHECK_THROWS_AS(ledger::parse_receipt(bad, "receipt"), accounting::UnusableInput);
}
