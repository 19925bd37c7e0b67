// structures DIGITS.CSV [BATCHES]: Markdown tables of what noise structures save on real matrices at one certified
// epsilon, and what breaks the constructions that save without being private.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "broken.hpp"
#include "measure.hpp"
#include "records.hpp"

namespace {

using dpflash::accounting::Delta;
using dpflash::accounting::Epsilon;
using dpflash::noise::Calibration;

constexpr double kDelta = 1e-4;
constexpr int kTrials = 20000;

/// What is public about a training.
struct Training {
  double epsilon;
  double batch;
  int releases;
  std::vector<double> headrooms;
};

const char* holds(double ratio, double claim) { return ratio <= 1 - claim ? "yes" : "no"; }

void print_table(const structures::Records& records, const structures::Setting& setting,
                 const Calibration& calibration) {
  std::printf("\n### %s; headroom %g\n\n", records.name.c_str(), setting.headroom);
  std::puts(
      "| structure | error, by `choose` | noise, exact | noise, measured | error, measured | error / releasing zeros | "
      "clipped | 25 % less | 30 % less |\n|---|---|---|---|---|---|---|---|---|");
  for (const structures::Row& row : structures::measure(records, setting, calibration))
    std::printf("| %s | %.3g | %.3g | %.3g | %.3g | %.3g | %.0f %% | %s | %s |\n", row.structure.c_str(), row.expected,
                row.noise, row.measured_noise, row.error_ratio, row.of_sum, 100 * row.clipped,
                holds(row.error_ratio, 0.25), holds(row.error_ratio, 0.3));
}

void measure_training(const Training& training, const std::vector<structures::Records>& all, int batches) {
  const double rate = training.batch / static_cast<double>(all[0].held_private.size());
  const Calibration calibration = Calibration::gaussian_for(
      Epsilon(training.epsilon), Delta(kDelta),
      {.count = training.releases, .rate = dpflash::accounting::SamplingRate(rate), .adjacency = {}});
  std::printf("\n## Expected batch %g, %d releases, epsilon at most %.6f at delta %g: noise multiplier %.6f\n",
              training.batch, training.releases, calibration.epsilon().upper, kDelta, calibration.noise_multiplier());
  for (const double headroom : training.headrooms)
    for (const structures::Records& records : all)
      print_table(records, {training.batch, headroom, batches}, calibration);
}

void print_broken(const structures::Records& records) {
  std::printf("\n## Constructions that are not private, on %s\n\n", records.name.c_str());
  std::puts(
      "| construction | noise multiplier | noise | claimed epsilon | epsilon at least | attacker's errors |\n"
      "|---|---|---|---|---|---|");
  for (const double multiplier : {1.0, 5.0, 50.0})
    for (const structures::Broken& row : structures::break_them(records, multiplier, kDelta, kTrials))
      std::printf("| %s | %g | %.3f | %.3f | %.2f | %.0f of %d |\n", row.construction.c_str(), multiplier, row.noise,
                  row.claimed, row.at_least, row.errors, 2 * row.trials);
}

int run(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: structures DIGITS.CSV [BATCHES]\n", stderr);
    return 2;
  }
  const dpsgd::Digits digits = dpsgd::read_digits(argv[1]);
  const int batches = argc > 2 ? std::max(1, std::atoi(argv[2])) : 60;
  const std::vector<structures::Records> all{
      structures::logistic_gradients(digits), structures::first_layer_gradients(digits),
      structures::network_gradients(digits), structures::attention_outputs(digits)};
  std::printf("%zu private and %zu public records, %d batches measured.\n", digits.train.size(), digits.test.size(),
              batches);
  const std::vector<Training> trainings{{3, 64, 660, {0.3, 1.0}}, {8, 719, 30, {1.0}}};
  for (const Training& training : trainings) measure_training(training, all, batches);
  print_broken(all[0]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "structures: %s\n", error.what());
    return 1;
  }
}
