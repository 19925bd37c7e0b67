// Charges of the lattice engine against extended precision: tilts, windows, transforms, coarser lattices.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdio>
#include <numbers>
#include <random>
#include <vector>

#include "lattice/read_off.hpp"
#include "lattice/step_table.hpp"
#include "lattice/tilted_law.hpp"
#include "special/rounding.hpp"

using namespace dpflash::accounting;

namespace {

using Long = std::vector<long double>;
using Complex = std::complex<long double>;
std::mt19937_64& random_bits() {
  static std::mt19937_64 bits(20240611);
  return bits;
}
double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_bits()); }

// Flat, decaying, two-peaked, sparse and nearly concentrated laws, of total mass 1 - infinity.
LatticeLaw random_law(std::size_t length, double infinity) {
  LatticeLaw law;
  law.start = uniform(-3, 1);
  law.spacing = std::pow(10.0, uniform(-4, -1));
  law.infinity = infinity;
  law.mass.resize(length);
  const auto kind = static_cast<int>(uniform(0, 5));
  const double decay = uniform(0.01, 2), middle = uniform(0, static_cast<double>(length)), width = uniform(0.5, 30);
  for (std::size_t i = 0; i < length; ++i) {
    const auto x = static_cast<double>(i);
    double m = uniform(0, 1);
    if (kind == 1) m *= std::exp(-decay * x);
    if (kind == 2) m = std::exp(-0.5 * (x - middle) * (x - middle) / (width * width)) + 1e-12 * m;
    if (kind == 3 && uniform(0, 1) < 0.8) m = 0;
    if (kind == 4) m = i == length / 3 ? 1 : 1e-6 * m;
    law.mass[i] = m;
  }
  law.mass[0] += 1e-9;
  double sum = 0;
  for (const double m : law.mass) sum += m;
  for (double& m : law.mass) m *= (1 - infinity) / sum;
  return law;
}

long double untilted(const TiltedLaw& law, std::size_t i, int error_sign) {
  const long double loss = law.start + static_cast<long double>(law.spacing) * static_cast<long double>(i);
  return std::exp(law.log_scale + error_sign * static_cast<long double>(law.log_scale_error) - law.theta * loss);
}

Complex power(Complex z, std::int64_t k) {
  Complex result = 1;
  for (; k > 0; k >>= 1) {
    if ((k & 1) != 0) result *= z;
    z *= z;
  }
  return result;
}

// The product folded onto n cells, by plain sums over the roots of unity.
Long folded_product(const std::vector<Power>& powers, std::size_t n) {
  std::vector<Complex> root(n), spectrum(n, 1);
  for (std::size_t i = 0; i < n; ++i) {
    const long double angle =
        2 * std::numbers::pi_v<long double> * static_cast<long double>(i) / static_cast<long double>(n);
    root[i] = {std::cos(angle), -std::sin(angle)};
  }
  for (const Power& p : powers) {
    for (std::size_t f = 0; f < n; ++f) {
      Complex sum = 0;
      for (std::size_t i = 0; i < p.law->mass.size(); ++i)
        sum += static_cast<long double>(p.law->mass[i]) * root[i * f % n];
      spectrum[f] *= power(sum, p.count);
    }
  }
  Long out(n);
  for (std::size_t i = 0; i < n; ++i) {
    long double sum = 0;
    for (std::size_t f = 0; f < n; ++f) sum += (spectrum[f] * std::conj(root[i * f % n])).real();
    out[i] = sum / static_cast<long double>(n);
  }
  return out;
}

// The whole product, by convolution of positive terms.
Long whole_product(const std::vector<Power>& powers) {
  Long out{1};
  for (const Power& p : powers) {
    for (std::int64_t k = 0; k < p.count; ++k) {
      Long next(out.size() + p.law->mass.size() - 1, 0);
      for (std::size_t i = 0; i < out.size(); ++i) {
        for (std::size_t j = 0; j < p.law->mass.size(); ++j) next[i + j] += out[i] * p.law->mass[j];
      }
      out = std::move(next);
    }
  }
  return out;
}

// Largest distance from the reference, whose cells are counted from the sum of the starts.
double worst_error(const Composed& composed, const Long& folded, const Window& window) {
  const std::size_t n = folded.size();
  long double worst = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t cell = (i + static_cast<std::size_t>(window.low)) % n;
    worst = std::max(worst, std::abs(composed.law.mass[i] - folded[cell]));
  }
  return static_cast<double>(worst);
}

std::vector<TiltedLaw> random_laws(std::size_t many, std::size_t longest, double steepest, Side side) {
  std::vector<TiltedLaw> laws;
  double spacing = 0, theta = 0;
  for (std::size_t i = 0; i < many; ++i) {
    LatticeLaw law = random_law(2 + static_cast<std::size_t>(uniform(0, static_cast<double>(longest))), 0);
    if (i == 0) {
      spacing = law.spacing;
      theta = uniform(0, steepest) / (spacing * static_cast<double>(law.mass.size()));
    }
    law.spacing = spacing;
    laws.push_back(tilt(law, theta, 0, side));
  }
  return laws;
}

}  // namespace

TEST_CASE("a tilted law is the law, rounded to its side") {
  for (int trial = 0; trial < 200; ++trial) {
    const LatticeLaw law = random_law(2 + static_cast<std::size_t>(uniform(0, 500)), trial % 3 == 0 ? 1e-4 : 0);
    const double theta = trial % 7 == 0 ? 0 : uniform(0, 300) / (law.spacing * static_cast<double>(law.mass.size()));
    const TiltedLaw up = tilt(law, theta, 0, Side::upper), low = tilt(law, theta, 0, Side::lower);
    long double sum = 0;
    bool above = true, below = true;
    for (std::size_t i = 0; i < law.mass.size(); ++i) {
      sum += up.mass[i];
      // subnormal masses, before or after, have no relative error
      above = above && (up.mass[i] * untilted(up, i, 1) >= law.mass[i] || up.mass[i] < 1e-290);
      below = below && (low.mass[i] * untilted(low, i, -1) <= law.mass[i] || law.mass[i] < 1e-290);
    }
    CAPTURE(trial);
    CHECK(above);
    CHECK(below);
    CHECK(static_cast<double>(std::abs(sum - 1)) <= 1e-12);
    CHECK(up.infinity == law.infinity);
  }
}

TEST_CASE("the charge of a transform is never exceeded") {
  double closest = 0;
  int checked = 0;
  for (const std::int64_t count : {1, 2, 7, 63, 64, 65, 1000, 100000, 10000000}) {
    for (std::size_t many = 1; many <= 3; ++many) {
      for (int trial = 0; trial < 2; ++trial) {
        const Side side = trial == 0 ? Side::upper : Side::lower;
        const std::vector<TiltedLaw> laws = random_laws(many, 150, 40, side);
        std::vector<Power> powers;
        for (std::size_t i = 0; i < many; ++i) powers.push_back({&laws[i], i == 0 ? count : 1 + count / 9});
        Window window{static_cast<std::int64_t>(uniform(0, 5e4)), 0, -34};
        window.high = window.low + 2 + static_cast<std::int64_t>(uniform(0, 400));
        const Composed composed = compose(powers, window);
        const double worst = worst_error(composed, folded_product(powers, composed.law.mass.size()), window);
        CAPTURE(count);
        CAPTURE(many);
        CHECK(worst <= composed.mass_error);
        closest = std::max(closest, worst / composed.mass_error);
        ++checked;
      }
    }
  }
  std::printf("round-off: %d compositions, error at most %.3g of the charge\n", checked, closest);
}

TEST_CASE("so it is against plain convolution, and what a window leaves out is what it says") {
  for (int trial = 0; trial < 40; ++trial) {
    const std::vector<TiltedLaw> laws = random_laws(2, 60, 20, Side::upper);
    const std::vector<Power> powers{{&laws[0], 1 + trial}, {&laws[1], 1 + trial / 4}};
    const double log_tail = trial % 2 == 0 ? -34 : -12, log_untilted = trial % 3 == 0 ? -20 : 1;
    const Window window = chernoff_window(powers, log_tail, log_untilted);
    const Composed composed = compose(powers, window);
    const Long whole = whole_product(powers);
    const std::size_t n = composed.law.mass.size();
    Long folded(n, 0);
    long double below = 0, above = 0, above_untilted = 0;
    double start = 0, log_scale = 0;
    for (const Power& p : powers) {
      start += static_cast<double>(p.count) * p.law->start;
      log_scale += static_cast<double>(p.count) * p.law->log_scale;
    }
    for (std::size_t i = 0; i < whole.size(); ++i) {
      folded[i % n] += whole[i];
      const auto cell = static_cast<std::int64_t>(i);
      if (cell < window.low) below += whole[i];
      if (cell < window.high) continue;
      above += whole[i];
      const long double loss = start + static_cast<long double>(laws[0].spacing) * static_cast<long double>(i);
      above_untilted += whole[i] * std::exp(log_scale - laws[0].theta * loss);
    }
    CAPTURE(trial);
    CHECK(worst_error(composed, folded, window) <= composed.mass_error);
    CHECK(static_cast<double>(below) <= std::exp(log_tail));
    CHECK(static_cast<double>(above) <= std::exp(log_tail));
    if (log_untilted <= 0) CHECK(static_cast<double>(above_untilted) <= std::exp(log_untilted));
  }
}

TEST_CASE("curves of composed laws, and of coarser ones, stay on their side") {
  double loosest = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const auto count = static_cast<std::int64_t>(1 + trial);
    LatticeLaw law = random_law(60, trial % 4 == 0 ? 1e-7 : 0);
    const double theta = uniform(0, 15) / (law.spacing * 60);
    for (const Side side : {Side::upper, Side::lower}) {
      const TiltedLaw tilted = tilt(law, theta, 0, side);
      const std::vector<Power> powers{{&tilted, count}};
      const Window window = chernoff_window(powers, -34, -25);
      const Composed composed = compose(powers, window);
      const ComposedCurve curve(composed, side);
      TiltedLaw plain;
      plain.mass.assign(law.mass.begin(), law.mass.end());
      const Long whole = whole_product({{&plain, count}});
      const long double infinity =
          -std::expm1(static_cast<long double>(count) * std::log1p(-static_cast<long double>(law.infinity)));
      const std::size_t factor = trial % 2 == 0 ? 7 : 3;
      const TiltedLaw coarse = coarsen(composed, factor, -25, side);
      const double low = static_cast<double>(count) * law.start, span = static_cast<double>(whole.size()) * law.spacing;
      for (int level = -2; level <= 62; ++level) {
        const double epsilon = low + span * level / 60.0;
        // exactly: the levels of the law itself
        long double truth = infinity, below = coarse.infinity;
        for (std::size_t i = 0; i < whole.size(); ++i) {
          const long double loss = static_cast<long double>(count) * law.start +
                                   static_cast<long double>(law.spacing) * static_cast<long double>(i);
          if (loss > epsilon) truth += whole[i] * -std::expm1(epsilon - loss);
        }
        const int sign = side == Side::upper ? 1 : -1;
        for (std::size_t i = 0; i < coarse.mass.size(); ++i) {
          const long double loss = coarse.start +
                                   static_cast<long double>(coarse.spacing) * static_cast<long double>(i) +
                                   sign * static_cast<long double>(coarse.loss_error);
          if (loss > epsilon) below += coarse.mass[i] * untilted(coarse, i, sign) * -std::expm1(epsilon - loss);
        }
        CAPTURE(trial);
        CAPTURE(level);
        CAPTURE(static_cast<double>(truth));
        CAPTURE(curve.delta(epsilon));
        CAPTURE(static_cast<double>(below));
        // the total mass of `law` is 1 only to rounding: a curve is cut at 1
        if (side == Side::upper) {
          CHECK(std::min(1.0L, truth * (1 - 1e-18L)) <= curve.delta(epsilon));
          // a coarser law lacks what was folded into the window, at most `outside` before it was untilted
          const long double outside =
              composed.outside * std::exp(composed.law.log_scale - theta * static_cast<long double>(epsilon));
          CHECK(truth * (1 - 1e-15L) <= below + outside);
        } else {
          CHECK(curve.delta(epsilon) <= truth * (1 + 1e-18L));
          CHECK(below <= truth * (1 + 1e-18L));
        }
        if (truth > 1e-9L)
          loosest = std::max(loosest, std::abs(curve.delta(epsilon) - static_cast<double>(std::min(1.0L, truth))));
      }
    }
  }
  std::printf("round-off: composed curves within %.3g of the exact ones\n", loosest);
}

TEST_CASE("laws of one step conserve mass") {
  const double spacing = 1e-3;
  for (const Step& step : {Step{GaussianStep{0.7}}, Step{SampledGaussianStep{1, 0.01}},
                           Step{SampledGaussianStep{0.6, 1e-6}}, Step{SampledGaussianStep{3, 0.9}},
                           Step{LaplaceStep{2, 1}}, Step{LaplaceStep{0.5, 0.1}}, Step{ApproximateStep{0.5, 1e-6, 1}},
                           Step{ApproximateStep{1, 1e-3, 0.2}}, Step{ReplaceSampledGaussianStep{1, 0.1}}}) {
    const StepTable made = step_table(step, spacing, {-8, 8}, 1 << 20);
    for (const bool exchanged : {false, true}) {
      const BinTable table = exchanged ? made.table.exchanged() : made.table;
      const LatticeLaw up = upper_law(table), low = lower_law(table);
      long double above = up.infinity, below = low.infinity;
      for (const double m : up.mass) above += m;
      for (const double m : low.mass) below += m;
      CAPTURE(step.index());
      CAPTURE(exchanged);
      CAPTURE(static_cast<double>(above - 1));
      CAPTURE(static_cast<double>(below - 1));
      CHECK(above >= 1 - 4 * kUnit);
      CHECK(above <= 1 + 1e-9L);
      CHECK(below <= 1);
      CHECK(below > 0);
    }
  }
}
