// Randomised plans, log-uniform over everything that a plan may hold: no crash, no nonsense, how wide, how slow.
//   sweep [plans] [seed] [share]    the automatic engine; fails on any raised or nonsensical answer, or when less than
//                                   `share` (0.99) of the epsilons in [1e-6, 1e3] reach relative width 1e-3; prints
//                                   times
//   sweep --engines [plans] [seed]  both engines on plans that both answer: are any two brackets disjoint?
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/error.hpp>
#include <random>
#include <string>
#include <vector>

using namespace dpflash::accounting;

namespace {

struct Case {
  double sigma, rate, delta;
  std::int64_t steps;
  Adjacency adjacency = Adjacency::add_or_remove_one;

  [[nodiscard]] Plan plan() const { return dpsgd_plan(sigma, rate, steps, adjacency); }
  [[nodiscard]] std::string text() const {
    char line[160];
    std::snprintf(line, sizeof line,
                  "--delta %.17g --noise-multiplier %.17g --sampling-rate %.17g --steps %lld --adjacency %s", delta,
                  sigma, rate, static_cast<long long>(steps), std::string(name_of(adjacency)).c_str());
    return line;
  }
};

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : generator_(seed) {}
  double log_uniform(double low, double high) {
    std::uniform_real_distribution<double> u(std::log(low), std::log(high));
    return std::clamp(std::exp(u(generator_)), low, high);
  }
  Case any() {
    Case c{};
    c.sigma = log_uniform(0.02, 1e4);
    c.rate = log_uniform(1e-9, 1);
    c.steps = static_cast<std::int64_t>(std::llround(log_uniform(1, 1e9)));
    c.delta = log_uniform(1e-30, 0.5);
    return c;
  }

 private:
  std::mt19937_64 generator_;
};

double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

int sweep(std::size_t plans, std::uint64_t seed, double share) {
  Draw draw(seed);
  std::size_t bad = 0, slow = 0, inside = 0, reached = 0, unbounded = 0;
  double slowest = 0, total = 0;
  std::vector<double> times;
  for (std::size_t i = 0; i < plans; ++i) {
    const Case c = draw.any();
    const auto begin = std::chrono::steady_clock::now();
    Bracket b;
    try {
      b = certified_epsilon(c.plan(), Delta(c.delta),
                            {.engine = Engine::automatic, .relative_width = RelativeWidth(1e-3)})
              .bracket;
    } catch (const std::exception& e) {
      ++bad;
      std::printf("RAISED %s: %s\n", c.text().c_str(), e.what());
      continue;
    }
    const double took = seconds_since(begin);
    times.push_back(took);
    total += took;
    slowest = std::max(slowest, took);
    if (took > 2) {
      ++slow;
      std::printf("SLOW %.2f s %s\n", took, c.text().c_str());
    }
    if (!(b.lower >= 0) || !(b.lower <= b.upper) || std::isnan(b.estimate)) {
      ++bad;
      std::printf("NONSENSE [%g, %g] %s\n", b.lower, b.upper, c.text().c_str());
    }
    if (std::isinf(b.upper)) {
      ++unbounded;
      std::printf("UNBOUNDED above %g %s\n", b.lower, c.text().c_str());
    }
    // "epsilon between 1e-6 and 1e3": unless the bracket puts it outside
    if (b.upper < 1e-6 || b.lower > 1e3) continue;
    ++inside;
    if (b.upper - b.lower <= std::max(1e-3 * b.upper, 1e-9)) {
      ++reached;
    } else {
      std::printf("WIDE %.2e [%.9g, %.9g] %.2f s %s\n", (b.upper - b.lower) / b.upper, b.lower, b.upper, took,
                  c.text().c_str());
    }
  }
  std::sort(times.begin(), times.end());
  std::printf("%zu plans, %zu raised or nonsense, %zu over 2 s, %zu without an upper end\n", plans, bad, slow,
              unbounded);
  std::printf("epsilon in [1e-6, 1e3]: %zu, of which %zu (%.3f %%) reach relative width 1e-3 or absolute 1e-9\n",
              inside, reached,
              100.0 * static_cast<double>(reached) / static_cast<double>(std::max<std::size_t>(1, inside)));
  std::printf("time: mean %.2f ms, median %.2f ms, 99 %% %.1f ms, slowest %.1f ms; peak memory %.0f MB\n",
              1e3 * total / static_cast<double>(plans), 1e3 * times[times.size() / 2],
              1e3 * times[times.size() * 99 / 100], 1e3 * slowest, peak_megabytes());
  const bool enough = static_cast<double>(reached) >= share * static_cast<double>(inside);
  // the whole acceptance sweep judges time and memory too; a sample in the tests, given its own share, only prints them
  const bool quick = share < 0.99 || (slow == 0 && peak_megabytes() < 500);
  return bad == 0 && unbounded == 0 && enough && quick ? 0 : 1;
}

int engines(std::size_t plans, std::uint64_t seed) {
  Draw draw(seed);
  std::size_t both = 0, disjoint = 0, nested = 0, drawn = 0;
  while (both < plans && drawn < 100 * plans) {
    ++drawn;
    Case c = draw.any();
    const double pick = draw.log_uniform(1, 2.718281828);
    c.adjacency = pick < 1.6 ? Adjacency::remove_one : Adjacency::add_one;
    if (c.rate > 0.999) continue;
    Bracket a, b;
    try {
      a = certified_epsilon(c.plan(), Delta(c.delta),
                            {.engine = Engine::inversion, .relative_width = RelativeWidth(1e-6)})
              .bracket;
    } catch (const NotComputable&) {
      continue;
    }
    if (!(a.upper > 0) || std::isinf(a.upper)) continue;
    b = certified_epsilon(c.plan(), Delta(c.delta), {.engine = Engine::lattice, .relative_width = RelativeWidth(1e-3)})
            .bracket;
    ++both;
    if (a.upper < b.lower || b.upper < a.lower) {
      ++disjoint;
      std::printf("DISJOINT inversion [%.15g, %.15g] lattice [%.15g, %.15g] %s\n", a.lower, a.upper, b.lower, b.upper,
                  c.text().c_str());
    }
    if (b.lower <= a.lower && a.upper <= b.upper) ++nested;
    if (both % 1000 == 0) std::fflush(stdout);
  }
  std::printf("%zu plans that both engines answer (of %zu drawn): %zu disjoint, inversion inside lattice %zu\n", both,
              drawn, disjoint, nested);
  return disjoint == 0 && both == plans ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const bool compare = argc > 1 && std::strcmp(argv[1], "--engines") == 0;
  const int first = compare ? 2 : 1;
  const auto plans = static_cast<std::size_t>(argc > first ? std::strtoull(argv[first], nullptr, 10) : 20000);
  const std::uint64_t seed = argc > first + 1 ? std::strtoull(argv[first + 1], nullptr, 10) : 1;
  const double share = argc > first + 2 ? std::strtod(argv[first + 2], nullptr) : 0.99;
  return compare ? engines(plans, seed) : sweep(plans, seed, share);
}
