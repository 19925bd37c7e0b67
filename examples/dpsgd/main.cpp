// DP-SGD on the UCI digits: accuracy and certified epsilon of every epoch, with the non-private baseline beside them.
#include <cmath>
#include <cstdio>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/noise/calibration.hpp>
#include <optional>
#include <vector>

#include "arguments.hpp"

namespace {

namespace accounting = dpflash::accounting;
namespace noise = dpflash::noise;
using namespace dpsgd;

struct Statistics {
  double mean = 0;
  double deviation = 0;
};

Statistics statistics(const std::vector<std::vector<Progress>>& runs, std::size_t epoch, double Progress::*field) {
  Statistics s;
  const auto n = static_cast<double>(runs.size());
  for (const auto& run : runs) s.mean += run[epoch].*field / n;
  for (const auto& run : runs) s.deviation += (run[epoch].*field - s.mean) * (run[epoch].*field - s.mean);
  s.deviation = runs.size() > 1 ? std::sqrt(s.deviation / (n - 1)) : 0;
  return s;
}

noise::NoiseSource source_of(const Arguments& arguments, int seed) {
  return arguments.fresh_keys ? noise::NoiseSource::from_entropy(arguments.generator)
                              : noise::NoiseSource::reproducible(arguments.generator, static_cast<std::uint64_t>(seed));
}

std::vector<std::vector<Progress>> runs_of(const Arguments& arguments, const Digits& digits,
                                           const std::optional<noise::Calibration>& calibration) {
  std::vector<std::vector<Progress>> runs;
  for (int seed = 1; seed <= arguments.seeds; ++seed) {
    noise::NoiseSource source = source_of(arguments, seed);
    runs.push_back(train(arguments.setup, digits, source, calibration));
  }
  return runs;
}

noise::Calibration calibrate(const Arguments& arguments, const Digits& digits) {
  const Setup& setup = arguments.setup;
  noise::Releases releases;
  releases.count = steps_per_epoch(setup, digits.train.size()) * setup.epochs;
  releases.rate = accounting::SamplingRate(sampling_rate(setup, digits.train.size()));
  const accounting::Delta delta(arguments.delta);
  if (arguments.noise_multiplier)
    return noise::Calibration::gaussian_stated(accounting::NoiseMultiplier(*arguments.noise_multiplier), delta,
                                               releases);
  return noise::Calibration::gaussian_for(accounting::Epsilon(arguments.epsilon), delta, releases);
}

void print_row(std::size_t epoch, double epsilon, const std::vector<std::vector<Progress>>& with_noise,
               const std::vector<std::vector<Progress>>& without) {
  const Statistics plain = statistics(without, epoch, &Progress::accuracy);
  if (with_noise.empty()) {
    std::printf("%5zu  %6.2f +- %4.2f\n", epoch + 1, 100 * plain.mean, 100 * plain.deviation);
    return;
  }
  const Statistics noisy = statistics(with_noise, epoch, &Progress::accuracy);
  std::printf("%5zu  %8.4f  %6.2f +- %4.2f  %6.2f +- %4.2f  %8.4g\n", epoch + 1, epsilon, 100 * noisy.mean,
              100 * noisy.deviation, 100 * plain.mean, 100 * plain.deviation,
              statistics(with_noise, epoch, &Progress::clip).mean);
}

void run(const Arguments& arguments) {
  const Digits digits = read_digits(arguments.data);
  const Setup& setup = arguments.setup;
  const std::int64_t steps = steps_per_epoch(setup, digits.train.size());
  const double rate = sampling_rate(setup, digits.train.size());
  std::printf("%zu training and %zu test images, %lld steps an epoch, sampling rate %.6g, %d seeds\n",
              digits.train.size(), digits.test.size(), static_cast<long long>(steps), rate, arguments.seeds);
  std::optional<noise::Calibration> calibration;
  if (arguments.privacy) {
    calibration = calibrate(arguments, digits);
    std::printf("noise multiplier %.6f: epsilon at most %.6f at delta %g (add-or-remove-one), certified by %s\n",
                calibration->noise_multiplier(), calibration->epsilon().upper, arguments.delta,
                std::string(calibration->accountant()).c_str());
  }
  const auto with_noise = calibration ? runs_of(arguments, digits, calibration) : std::vector<std::vector<Progress>>{};
  const auto without = runs_of(arguments, digits, std::nullopt);
  std::printf(calibration ? "\nepoch   epsilon   private, %%        no privacy, %%     clip\n"
                          : "\nepoch   no privacy, %%\n");
  for (std::size_t epoch = 0; epoch < static_cast<std::size_t>(setup.epochs); ++epoch) {
    double epsilon = 0;
    if (calibration)
      epsilon = accounting::certified_epsilon(accounting::dpsgd_plan(calibration->noise_multiplier(), rate,
                                                                     steps * static_cast<std::int64_t>(epoch + 1)),
                                              accounting::Delta(arguments.delta))
                    .bracket.upper;
    print_row(epoch, epsilon, with_noise, without);
  }
  const std::size_t last = static_cast<std::size_t>(setup.epochs) - 1;
  const Statistics plain = statistics(without, last, &Progress::accuracy);
  std::printf("\n");
  if (calibration) {
    const Statistics noisy = statistics(with_noise, last, &Progress::accuracy);
    std::printf("private accuracy     %.2f +- %.2f %%\n", 100 * noisy.mean, 100 * noisy.deviation);
  }
  std::printf("non-private accuracy %.2f +- %.2f %%\n", 100 * plain.mean, 100 * plain.deviation);
}

}  // namespace

int main(int argc, char** argv) {
  int exit_status = 0;
  const std::optional<Arguments> arguments = read_arguments(argc, argv, exit_status);
  if (!arguments) return exit_status;
  try {
    run(*arguments);
    return 0;
  } catch (const accounting::UnusableInput& error) {
    std::fprintf(stderr, "dpsgd: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dpsgd: %s\n", error.what());
    return 1;
  }
}
