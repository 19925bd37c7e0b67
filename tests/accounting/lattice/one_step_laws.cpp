// The two discrete laws of one step against the exact hockey-stick curve, at many levels.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "closed_form/one_step.hpp"
#include "lattice/step_table.hpp"

using namespace dpflash::accounting;

namespace {

double curve(const LatticeLaw& law, double epsilon) {
  long double sum = law.infinity;
  for (std::size_t i = 0; i < law.mass.size(); ++i) {
    const double loss = law.start + static_cast<double>(i) * law.spacing;
    if (loss > epsilon) sum += static_cast<long double>(law.mass[i]) * -std::expm1(epsilon - loss);
  }
  return static_cast<double>(sum);
}

struct Worst {
  double below = 0;  // how far the upper law falls below the truth, relative
  double above = 0;  // how far the lower law rises above it
  double gap = 0;    // largest width relative to the largest width that the spacing allows
};

Worst compare(const Step& step, double spacing, LossRange range, Direction direction) {
  StepTable made = step_table(step, spacing, range, 4000000);
  const BinTable table = direction == Direction::remove ? made.table : made.table.exchanged();
  const LatticeLaw up = upper_law(table), low = lower_law(table);
  Worst worst;
  const double first = table.start, last = table.start + static_cast<double>(table.bins()) * spacing;
  for (int i = 0; i <= 60; ++i) {
    const double epsilon = first + (last - first) * std::pow(i / 60.0, 3) + 0.37 * spacing;
    const Interval truth = one_step_delta(step, direction, epsilon);
    // the lattice's losses are those of the exact pair only to loss_error, which the engine moves epsilon by
    const double moved = made.loss_error + 4 * 0x1p-53 * (std::abs(first) + std::abs(last));
    const double u = curve(up, epsilon - moved), l = curve(low, epsilon + moved);
    const double scale = std::max(truth.upper, 1e-250);
    worst.below = std::max(worst.below, (truth.lower - u) / scale);
    worst.above = std::max(worst.above, (l - truth.upper) / scale);
    worst.gap = std::max(worst.gap, (u - l) / scale);
    REQUIRE(std::isfinite(u));
  }
  REQUIRE(std::all_of(low.mass.begin(), low.mass.end(), [](double m) { return m >= 0; }));
  return worst;
}

}  // namespace

TEST_CASE("the upper law lies above the exact curve and the lower law below it") {
  for (const double sigma : {0.02, 0.05, 0.3, 0.7, 1.0, 2.5, 30.0, 1e4}) {
    for (const double rate : {1e-9, 1e-5, 0.01, 0.3, 0.9, 0.999, 1.0}) {
      for (const double fineness : {3.0, 40.0, 700.0}) {
        const Step step = rate == 1 ? Step{GaussianStep{1 / sigma}} : Step{SampledGaussianStep{sigma, rate}};
        const double high = std::log1p(rate * std::expm1(std::min(600.0, (1 + 12 * sigma) / (2 * sigma * sigma)))) +
                            (sigma < 0.05 ? (1 + 12 * sigma) / (sigma * sigma) : 0);
        const double low = rate == 1 ? -high : -1e300;
        const double spacing = std::min(20.0, std::max((high - std::max(low, -1.0)) / 40000,
                                                       std::min(high, rate / sigma * (1 + 1 / sigma)) / fineness));
        for (const Direction direction : {Direction::remove, Direction::add}) {
          CAPTURE(sigma);
          CAPTURE(rate);
          CAPTURE(spacing);
          CAPTURE(direction == Direction::remove);
          if (rate == 1 && direction == Direction::add) continue;  // symmetric: the engine never exchanges it
          const Worst worst = compare(step, spacing, {low, high}, direction);
          CHECK(worst.below <= 1e-12);
          CHECK(worst.above <= 1e-12);
        }
      }
    }
  }
}

namespace {

void check(const Step& step, double spacing, LossRange range) {
  for (const Direction direction : {Direction::remove, Direction::add}) {
    CAPTURE(step.index());
    CAPTURE(spacing);
    CAPTURE(direction == Direction::remove);
    const Worst worst = compare(step, spacing, range, direction);
    CHECK(worst.below <= 1e-11);
    CHECK(worst.above <= 1e-11);
  }
}

}  // namespace

TEST_CASE("so do the laws of Laplace, approximate and replace-one steps") {
  for (const double rate : {1e-6, 0.01, 0.1, 0.3, 0.7, 1.0}) {
    for (const double scale : {0.02, 0.028, 0.05, 0.5, 1.0, 10.0, 1e4}) {
      const double span =
          rate == 1 ? 2 / scale : std::log1p(rate * std::expm1(1 / scale)) - std::log1p(rate * std::expm1(-1 / scale));
      for (const double parts : {7.0, 100.0, 2000.5}) {
        check(LaplaceStep{scale, rate}, span / parts, {});
        check(ApproximateStep{1 / scale, 0.0, rate}, span / parts, {});
        check(ApproximateStep{1 / scale, 1e-5, rate}, (rate == 1 ? span : span - std::log1p(-rate)) / parts, {});
      }
    }
    if (rate == 1) continue;
    for (const double sigma : {0.3, 0.5, 2.0, 50.0}) {
      const double high = sigma < 1 ? 20.0 : 2 * 12 * rate / sigma;
      for (const double fineness : {50.0, 1000.0})
        check(ReplaceSampledGaussianStep{sigma, rate}, high / fineness, {-high, high});
    }
  }
}
