// Steady-state time of certified answers in one thread: the rows that peers.py compares, every engine apart, and growth
// with the number of steps. Usage: accounting_benchmark [--relative_width=W] [Google Benchmark options]; by default
// each row runs at the relative widths 1e-6 and 1e-4. Counters: the bracket, the relative width reached, peak resident
// memory.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/calibrate.hpp>
#include <dpflash/accounting/error.hpp>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace dpflash::accounting;

struct Row {
  std::string name;
  Plan plan;
  double delta;
};

constexpr Unknown kCalibrated = Unknown::noise_multiplier;
constexpr double kCalibrationTarget = 3;

Plan unsampled(const Mechanism& mechanism, std::int64_t count) {
  return {.events = {{.mechanism = mechanism, .count = count}}};
}

Plan phases() {
  Plan plan;
  for (int i = 0; i < 24; ++i) {
    // the nearest doubles of the decimals, as another program would read them
    const double noise = std::round(80 + 5.0 * i) / 100, rate = std::round(20 + 5.0 * i) / 10000;
    plan.events.push_back({.mechanism = Gaussian{noise}, .sampling = PoissonSampling{rate}, .count = 1000});
  }
  return plan;
}

/// The names and plans of peers.py, which checks that the brackets agree.
std::vector<Row> compared_rows() {
  return {{"dpsgd-1e3", dpsgd_plan(1, 0.01, 1000), 1e-5},    {"dpsgd-1e4", dpsgd_plan(1, 0.01, 10000), 1e-5},
          {"dpsgd-1e5", dpsgd_plan(1, 0.01, 100000), 1e-5},  {"phases", phases(), 1e-5},
          {"tiny-delta", dpsgd_plan(1, 0.001, 1000), 1e-15}, {"gauss-10", unsampled(Gaussian{2}, 10), 1e-5},
          {"gauss-50", unsampled(Gaussian{2}, 50), 1e-5},    {"laplace", unsampled(Laplace{10}, 100), 1e-6}};
}

/// 1e3 to 1e9 steps of noise 1: `fixed` at rate 0.01, `shrinking` at rates for which epsilon stays about the same.
std::vector<Row> growth_rows() {
  std::vector<Row> rows;
  for (int power = 3; power <= 9; ++power) {
    const auto steps = static_cast<std::int64_t>(std::pow(10.0, power));
    const double shrinking = 0.01 * std::sqrt(1e3 / static_cast<double>(steps));
    rows.push_back({"growth-1e" + std::to_string(power), dpsgd_plan(1, 0.01, steps), 1e-5});
    rows.push_back({"growth-shrinking-1e" + std::to_string(power), dpsgd_plan(1, shrinking, steps), 1e-5});
  }
  return rows;
}

/// High-water mark of this process's own memory in MB; 0 where the system does not tell.
double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024;
  }
  return 0;
}

void report(benchmark::State& state, const Answer& answer) {
  const Bracket& b = answer.bracket;
  state.counters["lower"] = b.lower;
  state.counters["upper"] = b.upper;
  state.counters["relative_width"] = b.upper > 0 ? (b.upper - b.lower) / b.upper : 0;
  state.counters["peak_MB"] = peak_megabytes();
  state.SetLabel(std::string(name_of(answer.engine)));
}

void time_epsilon(benchmark::State& state, const Row& row, const Options& options) {
  Answer answer;
  try {
    for (auto _ : state) {
      answer = certified_epsilon(row.plan, Delta(row.delta), options);
      benchmark::DoNotOptimize(answer);
    }
  } catch (const NotComputable& error) {
    state.SkipWithError(error.what());
    return;
  }
  report(state, answer);
}

void time_calibration(benchmark::State& state, const Options& options) {
  const Plan plan = dpsgd_plan(1, 0.004, 20000);
  Calibration found;
  for (auto _ : state) {
    found = calibrate(plan, 0, kCalibrated, Epsilon(kCalibrationTarget), Delta(1e-5), options);
    benchmark::DoNotOptimize(found);
  }
  report(state, found.answer);
  state.counters["value"] = found.value;
}

std::string name(const std::string& group, const std::string& row, double width) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", width);
  return group + "/" + row + "/" + text;
}

void add_epsilon(const std::string& group, const Row& row, Engine engine, double width) {
  const Options options{.engine = engine, .relative_width = RelativeWidth(width)};
  benchmark::RegisterBenchmark(name(group, row.name, width).c_str(), [=](benchmark::State& state) {
    time_epsilon(state, row, options);
  })->Unit(benchmark::kMicrosecond);
}

void add_all(double width) {
  for (const Row& row : compared_rows()) add_epsilon("auto", row, Engine::automatic, width);
  const Options options{.relative_width = RelativeWidth(width)};
  benchmark::RegisterBenchmark(name("auto", "calibrate", width).c_str(), [=](benchmark::State& state) {
    time_calibration(state, options);
  })->Unit(benchmark::kMicrosecond);
  for (const Row& row : growth_rows()) add_epsilon("auto", row, Engine::automatic, width);
  for (const Row& row : compared_rows()) {
    add_epsilon("inversion", row, Engine::inversion, width);
    add_epsilon("lattice", row, Engine::lattice, width);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<double> widths = {1e-6, 1e-4};
  const std::string option = "--relative_width=";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.compare(0, option.size(), option) == 0) {
      widths = {std::strtod(argument.c_str() + option.size(), nullptr)};
    } else {
      argv[kept++] = argv[i];
    }
  }
  benchmark::Initialize(&kept, argv);
  if (benchmark::ReportUnrecognizedArguments(kept, argv)) return 2;
  try {
    for (const double width : widths) add_all(width);
  } catch (const UnusableInput& error) {
    std::fprintf(stderr, "accounting_benchmark: %s\n", error.what());
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
