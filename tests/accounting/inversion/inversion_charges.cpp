// One test for every error that the inversion charges: the error is there, and the charge covers it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "inversion/decay.hpp"
#include "inversion/spectrum.hpp"
#include "inversion/strip.hpp"
#include "special/simd_math.hpp"

using namespace dpflash::accounting::inversion;
namespace simd = dpflash::accounting::simd;

namespace {

constexpr SampledPhase kPhases[] = {
    {1, 0.01, 1000, Pair::remove},   {1, 0.01, 1000, Pair::add},     {1, 0.01, 1000, Pair::replace},
    {0.4, 1e-4, 1000, Pair::remove}, {0.4, 0.3, 1000, Pair::add},    {3, 0.9, 100, Pair::replace},
    {2, 0.999, 100, Pair::remove},   {2, 0.999, 100, Pair::add},     {40, 1e-9, 1000000, Pair::remove},
    {1000, 0.01, 100000, Pair::add}, {0.1, 1e-6, 100, Pair::remove}, {0.7, 0.05, 100, Pair::replace},
};

struct Complex {
  double re, im;
};

/// phi(t) - 1 by the sums of the grid, about the grid's centre.
Complex characteristic(const Nodes& nodes, double t) {
  std::vector<double> d(nodes.size);
  double total = 0;
  for (std::size_t i = 0; i < nodes.size; ++i) {
    d[i] = nodes.column(Nodes::kLoss)[i] - nodes.sums.mean_loss;
    total += nodes.column(Nodes::kWeight)[i];
  }
  Complex c{};
  characteristic_sums(nodes.column(Nodes::kWeight), d.data(), nodes.size, &t, 1, &c.re, &c.im);
  return {c.re / total, c.im / total};
}

long double exact_one(long double x, const SampledPhase& p) {
  const long double s = p.sigma, q = p.rate, u = (x - 0.5L) / (s * s);
  return q <= 0.5L ? std::log1p(q * std::expm1(u)) : u + std::log1p((1 - q) * std::expm1(-u));
}

struct Exact {
  long double loss, tilt, gauss;
};

Exact exact_node(long double x, const SampledPhase& p, long double theta) {
  const long double s = p.sigma, one = exact_one(x, p), gauss = -x * x / (2 * s * s);
  if (p.pair == Pair::remove) return {one, (theta + 1) * one, gauss};
  if (p.pair == Pair::add) return {-one, -theta * one, gauss};
  const long double other = exact_one(-x, p);
  return {one - other, (theta + 1) * one - theta * other, gauss};
}

/// ln delta of N(mu, 1) against N(0, 1).
double gaussian_log_delta(long double mu, long double epsilon) {
  const long double a = (epsilon / mu - mu / 2) / std::sqrt(2.0L), b = (epsilon / mu + mu / 2) / std::sqrt(2.0L);
  return static_cast<double>(std::log((std::erfc(a) - std::exp(epsilon) * std::erfc(b)) / 2));
}

Nodes grid(const SampledPhase& p, double theta, double fineness, double z = 9) {
  auto nodes = make_nodes(p, theta, natural_spacing(p, fineness), z);
  REQUIRE(nodes);
  return std::move(*nodes);
}

}  // namespace

TEST_CASE("losses and weights stay within their stated rounding errors") {
  for (const SampledPhase& p : kPhases) {
    CAPTURE(p.sigma);
    CAPTURE(p.rate);
    const Nodes nodes = grid(p, 2.5, 4);
    for (std::size_t i = 0; i < nodes.size; ++i) {
      const double x = (nodes.first + static_cast<double>(i)) * nodes.spacing;
      const Exact exact = exact_node(x, p, 2.5L);
      const double loss = nodes.column(Nodes::kLoss)[i], weight = nodes.column(Nodes::kWeight)[i];
      CHECK(std::fabs(static_cast<double>(loss - exact.loss)) <= simd::kUnit * nodes.column(Nodes::kLossError)[i]);
      const double tilt_error = nodes.column(Nodes::kTiltError)[i];
      CHECK(std::fabs(static_cast<double>(nodes.column(Nodes::kTilt)[i] - exact.tilt)) <= simd::kUnit * tilt_error);
      const long double exponent = exact.gauss + exact.tilt - nodes.shift;
      if (exponent < -700) continue;
      const double bound = 3 - 6 * static_cast<double>(exact.gauss) + tilt_error +
                           2 * std::fabs(static_cast<double>(exponent)) + std::fabs(nodes.shift);
      CHECK(std::fabs(static_cast<double>(weight / std::exp(exponent) - 1)) <= simd::kUnit * bound);
      CHECK(nodes.column(Nodes::kRise)[i] >= 0);
    }
  }
}

TEST_CASE("round-off of the characteristic sums is relative to t times the mean deviation") {
  for (const SampledPhase& p : kPhases) {
    const Nodes nodes = grid(p, 1.5, 3);
    for (const double scale : {1e-6, 1e-2, 1.0, 20.0}) {
      const double t = scale / std::sqrt(nodes.sums.variance);
      const Complex computed = characteristic(nodes, t);
      long double re = 0, im = 0, total = 0;
      for (std::size_t i = 0; i < nodes.size; ++i) {
        const double x = (nodes.first + static_cast<double>(i)) * nodes.spacing;
        const Exact exact = exact_node(x, p, 1.5L);
        const long double w = std::exp(exact.gauss + exact.tilt - nodes.shift);
        const long double h = 0.5L * t * (exact.loss - nodes.sums.mean_loss);
        re += -2 * w * std::sin(h) * std::sin(h);
        im += 2 * w * std::sin(h) * std::cos(h);
        total += w;
      }
      const NodeSums& s = nodes.sums;
      const double bound = t * (s.loss_error + s.weight_deviation + s.weight_error * s.mean_deviation +
                                simd::kUnit * (40 + 1.5 * static_cast<double>(nodes.size)) * s.mean_deviation);
      const double error =
          std::hypot(static_cast<double>(computed.re - re / total), static_cast<double>(computed.im - im / total));
      CAPTURE(p.sigma);
      CAPTURE(scale);
      CHECK(error <= bound);
    }
  }
}

TEST_CASE("the trapezoid error is covered at its own frequency, and would not be at a quarter of it") {
  for (const SampledPhase& p : kPhases) {
    if (p.sigma < 0.3) continue;
    const Nodes fine = grid(p, 2, 24, 12), coarse = grid(p, 2, p.sigma > 10 ? 0.7 : 1.2, 12);
    const auto bound = [&](double t) {
      double best = 1e300;
      for (const double angle : strip_angles(p.sigma))
        best = std::min(best, trapezoid_error(strip_integral(fine, angle, t), angle, p.sigma, coarse.spacing));
      return best;
    };
    bool noticed = false;
    for (const double scale : {0.5, 2.0, 5.0, 12.0, 40.0}) {
      const double t = scale / std::sqrt(fine.sums.variance);
      const Complex a = characteristic(fine, t), b = characteristic(coarse, t);
      const double shift = t * (coarse.sums.mean_loss - fine.sums.mean_loss);
      // Turn the coarse value to the fine one's centre.
      const double re = (1 + b.re) * std::cos(shift) - b.im * std::sin(shift) - 1;
      const double im = (1 + b.re) * std::sin(shift) + b.im * std::cos(shift);
      const double error = std::hypot(a.re - re, a.im - im);
      CAPTURE(p.sigma);
      CAPTURE(scale);
      CHECK(error <= 1.01 * (bound(t) + bound(0)) + 1e-12);
      noticed = noticed || error > 2 * bound(t / 4) + 1e-12;
    }
    if (p.sigma < 10 && p.rate < 0.5) CHECK(noticed);
  }
}

TEST_CASE("weights outside the window are covered") {
  for (const SampledPhase& p : kPhases) {
    const Nodes narrow = grid(p, 2, 4, 2.5), wide = grid(p, 2, 4, 12);
    if (narrow.shift != wide.shift) continue;
    const double outside = (wide.sums.weight - narrow.sums.weight) * narrow.spacing;
    CAPTURE(p.sigma);
    CHECK(outside <= narrow.outside_weight());
    CHECK(outside >= -1e-13 * wide.sums.weight);
  }
}

TEST_CASE("one step's cumulant is inside its error at every fineness") {
  for (const SampledPhase& p : kPhases)
    for (const double theta : {0.01, 1.0, 6.0}) {
      const auto fine = make_nodes(p, theta, natural_spacing(p, 30), 13);
      if (!fine) continue;
      const Nodes& reference = *fine;
      const long double s = p.sigma;
      long double g = 0;
      for (std::size_t i = 0; i < reference.size; ++i) {
        const long double x = (reference.first + static_cast<double>(i)) * reference.spacing;
        const Exact exact = exact_node(x, p, theta);
        const long double up = p.rate * std::expm1((x - 0.5L) / (s * s)),
                          down = p.rate * std::expm1((-x - 0.5L) / (s * s));
        const long double linear = p.pair == Pair::remove ? (theta + 1) * up
                                   : p.pair == Pair::add  ? -theta * up
                                                          : (theta + 1) * up - theta * down;
        g += std::exp(exact.gauss) * (std::expm1(exact.tilt) - linear);
      }
      g *= static_cast<long double>(reference.spacing) / (s * std::sqrt(2 * std::numbers::pi_v<long double>));
      const long double exact = std::log1p(g);
      for (const double fineness : {1.0, 1.5, 3.0, 8.0}) {
        const Cumulant found = cumulant(grid(p, theta, fineness), 9);
        CAPTURE(p.sigma);
        CAPTURE(p.rate);
        CAPTURE(theta);
        CAPTURE(fineness);
        CHECK(std::fabs(static_cast<double>(found.value - exact)) <= found.error);
        if (fineness == 8) CHECK(found.error <= 1e-11 * (1 + found.value));
      }
    }
}

TEST_CASE("the characteristic function stays below its decay bound at all frequencies") {
  for (const SampledPhase& p : kPhases)
    for (const double theta : {0.5, 5.0}) {
      const auto made = make_nodes(p, theta, natural_spacing(p, 16), 9);
      if (!made) continue;
      const Nodes& nodes = *made;
      const Decay decay(nodes, 1);
      double previous = 0;
      for (double t = 0.05 / std::sqrt(nodes.sums.variance); t < 300 / std::sqrt(nodes.sums.variance); t *= 1.2) {
        double quadrature = 1;  // beyond what the test's own grid resolves there is nothing to compare with
        for (const double angle : strip_angles(p.sigma))
          quadrature =
              std::min(quadrature, trapezoid_error(strip_integral(nodes, angle, t), angle, p.sigma, nodes.spacing));
        if (quadrature > 1e-3) break;
        const Complex c = characteristic(nodes, t);
        const double bound = decay.log_bound(t);
        CAPTURE(p.sigma);
        CAPTURE(p.rate);
        CAPTURE(t);
        CHECK(std::sqrt(1 + (2 * c.re + c.re * c.re + c.im * c.im)) <= std::exp(bound) + 2 * quadrature + 1e-12);
        CHECK(bound <= previous);
        previous = bound;
      }
      if (p.sigma >= 0.5 && p.rate > 1e-6) CHECK(previous < -1e-3);
    }
}

TEST_CASE("aliases and the truncation are there and are charged") {
  Model model;
  model.mu2 = 1;
  const auto pilot = pilot_for_delta(model, 1e-6);
  REQUIRE(pilot);
  const auto spectrum = Spectrum::build(model, *pilot, 0.1, 1e6);
  REQUIRE(spectrum);
  double above = 0, below = 0;
  for (double epsilon = pilot->epsilon - 1; epsilon < pilot->epsilon + 1; epsilon += 0.01) {
    const double exact = gaussian_log_delta(1, epsilon);
    CHECK(spectrum->log_lower(epsilon) <= exact);
    CHECK(spectrum->log_upper(epsilon) >= exact);
    above = std::max(above, spectrum->log_estimate(epsilon) - exact);
    below = std::max(below, exact - spectrum->log_estimate(epsilon));
  }
  CHECK(std::max(above, below) > 1e-6);
}

TEST_CASE("different tilts certify compatible values of delta") {
  const Model model{0.3, 0, {{1, 0.01, 2000, Pair::remove}, {0.8, 0.002, 500, Pair::remove}}};
  const double epsilon = 5;
  const auto pilot = pilot_for_epsilon(model, epsilon);
  REQUIRE(pilot);
  double highest_lower = -1e300, lowest_upper = 1e300;
  for (const double part : {0.5, 0.7, 0.85, 1.0}) {
    Pilot moved = *pilot;
    moved.theta = round_to_bits(part * pilot->theta, 26);
    const Cumulants k = estimate_cumulants(model, moved.theta);
    moved.deviation = std::sqrt(k.second);
    moved.log_main = pilot->log_delta - k.value + moved.theta * epsilon;
    const auto spectrum = Spectrum::build(model, moved, 1e-10, 1e8);
    REQUIRE(spectrum);
    highest_lower = std::max(highest_lower, spectrum->log_lower(epsilon));
    lowest_upper = std::min(lowest_upper, spectrum->log_upper(epsilon));
  }
  CHECK(highest_lower <= lowest_upper);
  CHECK(lowest_upper - highest_lower < 1e-9);
}

TEST_CASE("frequencies at which one step's characteristic function vanishes are charged in full") {
  // ln delta by 40-digit quadrature of the two densities.
  const Model model{0.0084617445149399433, 0, {{0.12111656714895359, 2.0277341985884394e-05, 1, Pair::replace}}};
  const double epsilon = 88.1565785529183, exact = -45.34612878370769542;
  const auto pilot = pilot_for_epsilon(model, epsilon);
  REQUIRE(pilot);
  for (const double part : {0.5, 0.7, 0.85, 1.0, 1.3}) {
    Pilot moved = *pilot;
    moved.theta = round_to_bits(part * pilot->theta, 26);
    const Cumulants k = estimate_cumulants(model, moved.theta);
    moved.deviation = std::sqrt(k.second);
    moved.log_main = exact - k.value + moved.theta * epsilon;
    const auto spectrum = Spectrum::build(model, moved, 1e-9, 1e8);
    REQUIRE(spectrum);
    CHECK(spectrum->log_lower(epsilon) <= exact);
    CHECK(spectrum->log_upper(epsilon) >= exact);
  }
}
