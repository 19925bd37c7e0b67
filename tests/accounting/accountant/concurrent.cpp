// Many threads asking the same questions get, bit for bit, the answers of one thread.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <dpflash/accounting/accountant.hpp>
#include <functional>
#include <thread>
#include <vector>

using namespace dpflash::accounting;

namespace {

constexpr std::size_t kThreads = 8;

std::vector<std::function<Answer()>> questions() {
  std::vector<Plan> plans;
  for (int i = 0; i < 10; ++i) {
    const double sigma = 0.8 + 0.17 * i;
    plans.push_back(dpsgd_plan(sigma, 0.002 * (1 + i), 100 * (1 + i)));
    plans.push_back({Adjacency::add_or_remove_one, {{Laplace{5 * sigma}, NoSampling{}, 3 + i}, {Gaussian{4 * sigma}}}});
    Plan replaced = dpsgd_plan(2 * sigma, 0.1, 20 + i, Adjacency::replace_one);
    if (i % 3 == 0) replaced.events.push_back({EpsilonDelta{0.1, 1e-9}});
    plans.push_back(replaced);
  }
  std::vector<std::function<Answer()>> out;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const Options options{i % 4 == 1 ? Engine::lattice : Engine::automatic, RelativeWidth(i % 5 == 0 ? 1e-3 : 1e-4)};
    out.emplace_back([=] { return certified_epsilon(plans[i], Delta(1e-6), options); });
    out.emplace_back([=] { return certified_delta(plans[i], Epsilon(0.75), options); });
  }
  return out;
}

bool same(const Answer& a, const Answer& b) {
  const auto bits = [](double x) { return std::bit_cast<std::uint64_t>(x); };
  return bits(a.bracket.lower) == bits(b.bracket.lower) && bits(a.bracket.estimate) == bits(b.bracket.estimate) &&
         bits(a.bracket.upper) == bits(b.bracket.upper) && a.engine == b.engine;
}

}  // namespace

TEST_CASE("answers do not depend on what other threads ask") {
  const auto asked = questions();
  REQUIRE(asked.size() == 60);
  std::vector<std::vector<Answer>> answers(kThreads, std::vector<Answer>(asked.size()));
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      // each thread starts elsewhere, so that first uses of tables and plans collide
      for (std::size_t i = 0; i < asked.size(); ++i) {
        const std::size_t q = (i + t * asked.size() / kThreads) % asked.size();
        answers[t][q] = asked[q]();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (std::size_t q = 0; q < asked.size(); ++q) {
    CAPTURE(q);
    const Answer alone = asked[q]();
    for (std::size_t t = 0; t < kThreads; ++t) {
      CAPTURE(t);
      CHECK(same(alone, answers[t][q]));
    }
  }
}
