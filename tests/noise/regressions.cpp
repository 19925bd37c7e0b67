// Ways in which noise was once too small, or a call half done.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <dpflash/accounting/error.hpp>
#include <string>
#include <vector>

#include "dpflash/noise/adaptive_clipping.hpp"
#include "dpflash/noise/elements.hpp"
#include "dpflash/noise/matrix_variate.hpp"
#include "dpflash/noise/private_gradient.hpp"

namespace accounting = dpflash::accounting;
namespace noise = dpflash::noise;

namespace {

noise::Calibration stated(double multiplier,
                          accounting::Adjacency adjacency = accounting::Adjacency::add_or_remove_one) {
  noise::Releases releases;
  releases.adjacency = adjacency;
  return noise::Calibration::gaussian_stated(accounting::NoiseMultiplier(multiplier), accounting::Delta(1e-5),
                                             releases);
}

std::vector<double> diagonal(std::size_t n, double value) {
  std::vector<double> matrix(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) matrix[i * n + i] = value;
  return matrix;
}

noise::MatrixVariate matrix_variate(double row, double column, double clip) {
  return {diagonal(2, row), 2, diagonal(2, column), 2, clip, stated(1)};
}

}  // namespace

TEST_CASE("matrix-variate noise that would be 0 or infinite as floats is refused") {
  // With covariances of 1e-50 every noise was 0 and the sum came out as it went in, mu = 1 being claimed.
  CHECK_THROWS_AS(matrix_variate(1e-50, 1e-50, 1e37), accounting::UnusableInput);
  CHECK_THROWS_AS(matrix_variate(1e-44, 1e-44, 1e37), accounting::UnusableInput);
  CHECK_THROWS_AS(matrix_variate(1e50, 1e50, 1e-30), accounting::UnusableInput);
  CHECK_NOTHROW(matrix_variate(1e-50, 1e50, 1));
  // Where it is accepted, noise has all its bits.
  const noise::MatrixVariate mechanism = matrix_variate(1e-28, 1e-28, 1e28);
  auto source = noise::NoiseSource::reproducible(noise::Generator::chacha20, 1);
  std::vector<float> values;
  for (std::uint32_t step = 0; step < 1000; ++step) {
    std::vector<float> sum(4, 0.0f);
    mechanism.privatise(sum, source, {0, step, 0});
    values.insert(values.end(), sum.begin(), sum.end());
  }
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  std::sort(values.begin(), values.end());
  // Where noise has lost its bits a few values are all there is; by chance fewer than one pair of 24 bits agrees.
  CHECK(std::unique(values.begin(), values.end()) - values.begin() >= 3990);
  const double deviation = static_cast<double>(mechanism.scale()) * 1e-28;
  CHECK(squares / 4000 / (deviation * deviation) == doctest::Approx(1).epsilon(0.12));
}

TEST_CASE("adaptive clipping: its noise takes no gradient that was clipped to more than C_t") {
  noise::AdaptiveClipping adaptive({.first_norm = 1, .learning_rate = 0.5, .count_noise = 0.6}, 4, stated(1));
  const noise::Isotropic first = adaptive.mechanism(8);
  CHECK(first.clip_norm() == 1);
  CHECK(static_cast<double>(first.scale()) >= adaptive.gradient_multiplier());
  // Gradient and count together stay within the calibration's mu, whichever of the two clips is used.
  CHECK(std::hypot(first.mu(), 0.5 / adaptive.count_noise()) <= 1);
  auto source = noise::NoiseSource::reproducible(noise::Generator::chacha20, 3);
  adaptive.update_from(-2, source, {9, 0, 0});
  REQUIRE(adaptive.norm() > 1);
  CHECK_THROWS_AS(noise::PrivateGradient(adaptive.clipping(), first, 4), accounting::UnusableInput);
  CHECK_NOTHROW(noise::PrivateGradient(adaptive.clipping(), adaptive.mechanism(8), 4));
}

TEST_CASE("adaptive clipping refuses the adjacency whose null record it would count") {
  const noise::Calibration zeroed = stated(1, accounting::Adjacency::replace_special);
  CHECK_THROWS_AS(noise::AdaptiveClipping({}, 64, zeroed), accounting::UnusableInput);
  CHECK_NOTHROW(noise::AdaptiveClipping({}, 64, stated(1, accounting::Adjacency::replace_one)));
}

TEST_CASE("sums rounded to 16 bits before the noise are not covered: one record moves a whole unit") {
  const noise::Isotropic mechanism(1, 1e-3, stated(1));
  auto source = noise::NoiseSource::reproducible(noise::Generator::chacha20, 5);
  // The sums differ by 1e-3, the clip; as bfloat16 they are 100 and 100.5, and 1e-3 of noise does not hide that.
  std::vector<noise::BFloat16> without = {noise::to_bfloat16(100.2495f)};
  std::vector<noise::BFloat16> with = {noise::to_bfloat16(100.2505f)};
  noise::privatise(mechanism, std::span(without), source, {0, 0, 0});
  noise::privatise(mechanism, std::span(with), source, {0, 1, 0});
  CHECK(noise::to_float(without[0]) == 100.0f);
  CHECK(noise::to_float(with[0]) == 100.5f);
}

#if !defined(DPFLASH_SANITIZED)
TEST_CASE("where no thread is to be had, all draws are still added") {
  // In a process of its own, whose address space has no room for another stack.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::size_t size = std::size_t{1} << 20;
    const noise::Isotropic mechanism(size, 1, stated(1));
    auto source = noise::NoiseSource::reproducible(noise::Generator::chacha20, 7);
    std::vector<float> sum(size, 0.25f);
    long pages = 0;
    std::FILE* const statm = std::fopen("/proc/self/statm", "r");
    if (statm == nullptr || std::fscanf(statm, "%ld", &pages) != 1) ::_exit(2);
    const auto room = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (1u << 20);
    const rlimit limit{room, room};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) ::_exit(2);
    try {
      mechanism.privatise(sum, source, {});
    } catch (...) {
      ::_exit(1);
    }
    std::size_t same = 0;
    for (const float value : sum) same += value == 0.25f ? 1 : 0;
    ::_exit(same > 16 ? 1 : 0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif
