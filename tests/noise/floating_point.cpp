// Mironov 2012 on this library's float path, on textbook Laplace noise, and on the grid: why the former is called
// hardened and not proven. docs/math/attacks.md, section 2. Seeds are fixed.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "dpflash/noise/grid.hpp"
#include "dpflash/noise/mechanisms.hpp"
#include "dpflash/noise/private_gradient.hpp"
#include "statistics.hpp"

using namespace dpflash;
using accounting::Delta;
using accounting::NoiseMultiplier;
using noise::Calibration;
using noise::NoiseSource;

namespace {

constexpr double kAlpha = 1e-9;
constexpr double kDelta = 1e-5;
constexpr double kNoise = 5;
constexpr std::size_t kSize = 1000;
constexpr int kTrials = 4000;

Calibration gaussian() { return Calibration::gaussian_stated(NoiseMultiplier(kNoise), Delta(kDelta)); }

/// Whether some float z near `guess` gives the observed output.
template <class Output>
bool reachable(double guess, float observed, const Output& output) {
  float z = static_cast<float>(guess);
  for (int i = 0; i < 2; ++i) z = std::nextafter(z, -HUGE_VALF);
  for (int i = 0; i < 5; ++i, z = std::nextafter(z, HUGE_VALF))
    if (output(z) == observed) return true;
  return false;
}

struct Verdicts {
  double with = 0;     ///< outputs that the sum with the record reaches and the one without does not, record there
  double without = 0;  ///< the same verdict, record not there
  double impossible_with = 0;
  double impossible_without = 0;
};

/// release(with) gives an output; reaches(output, with) whether a hypothesis could have made every entry of it.
template <class Release, class Reaches>
Verdicts attack(int trials, const Release& release, const Reaches& reaches) {
  Verdicts verdicts;
  for (int trial = 0; trial < trials; ++trial)
    for (const bool truth : {true, false}) {
      const std::vector<float> y = release(truth);
      const bool with = reaches(y, true);
      const bool without = reaches(y, false);
      (truth ? verdicts.with : verdicts.without) += with && !without ? 1 : 0;
      (truth ? verdicts.impossible_with : verdicts.impossible_without) += (truth ? with : without) ? 0 : 1;
    }
  return verdicts;
}

void check_wins(const std::string& name, const Verdicts& v, int trials, double claimed) {
  const double bound = test::epsilon_lower_bound(v.with, v.without, trials, kDelta, kAlpha);
  MESSAGE(name << ": claimed epsilon " << claimed << ", at least " << bound << " from " << v.with << " and "
               << v.without << " of " << trials);
  CHECK(v.impossible_with == 0);
  CHECK(v.impossible_without == 0);
  CHECK(v.with >= 0.999 * trials);
  CHECK(v.without == 0);
  CHECK(bound > 3 * claimed);
}

/// The record's clipped contribution: as small in each entry as a clip of 1 makes it.
template <class Mechanism>
std::vector<float> record(const Mechanism& m) {
  std::vector<float> x(m.size());
  std::mt19937 random(1);
  for (float& value : x) value = static_cast<float>(static_cast<double>(random()) * 0x1p-32 - 0.5);
  m.clip(x);
  return x;
}

}  // namespace

TEST_CASE("float outputs g + sigma z show g by the floats that they never take") {
  const noise::Isotropic m(kSize, 1.0, gaussian());
  const std::vector<float> x = record(m);
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 601);
  std::uint64_t first = 0;
  const auto release = [&](bool with) {
    std::vector<float> y = with ? x : std::vector<float>(kSize, 0.0f);
    m.privatise(y, source, {0, 0, first});
    first += kSize;
    return y;
  };
  const auto reaches = [&](const std::vector<float>& y, bool with) {
    for (std::size_t i = 0; i < kSize; ++i) {
      const float g = with ? x[i] : 0.0f;
      const double guess = (static_cast<double>(y[i]) - static_cast<double>(g)) / static_cast<double>(m.scale());
      if (!reachable(guess, y[i], [&](float z) { return std::fmaf(m.scale(), z, g); })) return false;
    }
    return true;
  };
  check_wins("isotropic in floats", attack(kTrials, release, reaches), kTrials, m.calibration().epsilon().upper);
}

TEST_CASE("sums in double help nothing when z is a float") {
  const noise::Isotropic m(kSize, 1.0, gaussian());
  const noise::PrivateGradient gradient(noise::Clipping::flat(1.0), m, 64.0);
  const std::vector<float> x = record(m);
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 602);
  std::uint64_t first = 0;
  const std::array<noise::TensorRows, 1> tensors{{{x.data(), kSize, 0, 0, 0}}};
  std::array<float, 1> factor{};
  const auto release = [&](bool with) {
    std::vector<float> y(kSize);
    const std::array<std::span<float>, 1> out{y};
    gradient.release({tensors, with ? 1u : 0u}, source, {0, 0, first}, out, std::span(factor).first(with ? 1 : 0));
    first += kSize;
    return y;
  };
  const auto reaches = [&](const std::vector<float>& y, bool with) {
    const double scale = static_cast<double>(gradient.scale(0));
    for (std::size_t i = 0; i < kSize; ++i) {
      const double g = with ? static_cast<double>(factor[0]) * static_cast<double>(x[i]) : 0;
      const double guess = (static_cast<double>(y[i]) * 64 - g) / scale;
      const auto output = [&](float z) { return static_cast<float>((g + scale * static_cast<double>(z)) / 64); };
      if (!reachable(guess, y[i], output)) return false;
    }
    return true;
  };
  (void)release(true);  // gives the attacker the record's factor
  check_wins("PrivateGradient", attack(kTrials, release, reaches), kTrials, m.calibration().epsilon().upper);
}

TEST_CASE("textbook Laplace noise in double shows its sum") {
  // b ln U with 53 bits of U, Mironov's own example: a sum of 1 leaves outputs that a sum of 0 cannot reach.
  const double scale = kNoise;
  constexpr std::size_t size = 100;
  std::mt19937_64 random(603);
  const auto noise_of = [&](std::uint64_t k, bool negative) {
    const double size_of = scale * -std::log(std::ldexp(static_cast<double>(k), -53));
    return negative ? -size_of : size_of;
  };
  const auto can_be = [&](double y, double g) {
    const double off = y - g;
    const double k = std::ldexp(std::exp(-std::abs(off) / scale), 53);
    // Rounding of the sum leaves a few candidates, or very many: then the middle one fits.
    for (int step = -40; step <= 40; ++step) {
      const double candidate = std::round(k) + step;
      if (candidate < 1 || candidate > 0x1p53) continue;
      if (g + noise_of(static_cast<std::uint64_t>(candidate), off < 0) == y) return true;
    }
    return false;
  };
  const int trials = 1000;
  double hits = 0;
  double false_hits = 0;
  for (int trial = 0; trial < trials; ++trial)
    for (const bool with : {true, false}) {
      bool without_possible = true;
      for (std::size_t i = 0; i < size && without_possible; ++i) {
        const double g = with && i == 0 ? 1.0 : with ? 1e-3 : 0.0;
        const double y = g + noise_of((random() >> 11) + 1, (random() & 1) != 0);
        without_possible = can_be(y, 0.0);
      }
      (with ? hits : false_hits) += without_possible ? 0 : 1;
    }
  const double bound = test::epsilon_lower_bound(hits, false_hits, trials, kDelta, kAlpha);
  MESSAGE("naive Laplace: claimed " << (1.0 + 99e-3) / scale << ", at least " << bound);
  CHECK(hits == trials);
  CHECK(false_hits == 0);
  CHECK(bound > 3 * 1.099 / scale);
}

TEST_CASE("the grid reaches every output from every sum") {
  const noise::GridMechanism m(kSize, 1.0, gaussian());
  std::vector<std::int64_t> x(kSize);
  std::vector<float> contribution(kSize, 1.0f);
  m.to_grid(contribution, x);
  CHECK(std::count(x.begin(), x.end(), 0) < static_cast<std::ptrdiff_t>(kSize));
  auto source = NoiseSource::reproducible(noise::Generator::chacha12, 604);
  std::uint64_t first = 0;
  const auto release = [&](bool with) {
    std::vector<std::int64_t> sum = with ? x : std::vector<std::int64_t>(kSize, 0);
    m.privatise(sum, source, {0, 0, first});
    first += kSize;
    std::vector<float> y(kSize);
    m.release(sum, y);
    return y;
  };
  const auto reaches = [&](const std::vector<float>& y, bool with) {
    for (std::size_t i = 0; i < kSize; ++i) {
      // All integers are draws: what is asked for is that the output lies on the public grid.
      const double k = std::round(static_cast<double>(y[i]) / m.spacing()) - (with ? static_cast<double>(x[i]) : 0);
      const double sum = k + (with ? static_cast<double>(x[i]) : 0);
      if (static_cast<float>(sum * m.spacing()) != y[i] || std::abs(k) > 16 * 65536) return false;
    }
    return true;
  };
  const int trials = kTrials / 4;
  const Verdicts v = attack(trials, release, reaches);
  CHECK(v.impossible_with == 0);
  CHECK(v.impossible_without == 0);
  CHECK(v.with == 0);
  CHECK(v.without == 0);
}
