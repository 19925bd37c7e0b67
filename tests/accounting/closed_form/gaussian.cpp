// Closed forms against extended precision: the Gaussian curve, and one step of every kind.
#include "closed_form/gaussian.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "closed_form/one_step.hpp"
#include "special/rounding.hpp"

using namespace dpflash::accounting;

namespace {

constexpr long double kPi = std::numbers::pi_v<long double>;

struct Rule {
  long double node[16], weight[16];
  // Gauss-Legendre on [-1, 1] by Newton's method.
  Rule() {
    for (int i = 0; i < 16; ++i) {
      long double x = std::cos(kPi * (i + 0.75L) / 16.5L), slope = 1;
      for (int pass = 0; pass < 60; ++pass) {
        long double p = 1, before = 0;
        for (int n = 1; n <= 16; ++n) {
          const long double next = ((2 * n - 1) * x * p - (n - 1) * before) / n;
          before = p;
          p = next;
        }
        slope = 16 * (x * p - before) / (x * x - 1);
        x -= p / slope;
      }
      node[i] = x;
      weight[i] = 2 / ((1 - x * x) * slope * slope);
    }
  }
};

// delta(epsilon >= 0) as the integral of phi(epsilon/t - t/2) over 0 < t < mu: every term positive, nothing cancels.
long double positive_delta(long double mu, long double epsilon) {
  static const Rule rule;
  const auto z_at = [&](long double t) { return epsilon / t - t / 2; };
  // left of z = -60 the integrand is nothing beside the rest
  long double t = std::min(mu, 60 + std::sqrt(3600 + 2 * epsilon)), sum = 0;
  const long double far = std::max(0.0L, z_at(t)) + 14;
  while (t > 0 && z_at(t) <= far) {
    const long double z = z_at(t), speed = epsilon / t + t / 2;  // -dz / d ln t
    const long double step = std::min(0.25L, 1 / ((1 + std::abs(z) / 8) * (speed + 1e-30L)));
    const long double below = t * std::exp(-step), half = (t - below) / 2, middle = (t + below) / 2;
    long double part = 0;
    for (int i = 0; i < 16; ++i) {
      const long double y = z_at(middle + half * rule.node[i]);
      part += rule.weight[i] * std::exp(-y * y / 2);
    }
    part *= half / std::sqrt(2 * kPi);
    sum += part;
    t = below;
    if (epsilon == 0 && part < 1e-24L * sum) break;
  }
  return sum;
}

long double true_delta(long double mu, long double epsilon) {
  if (epsilon >= 0) return positive_delta(mu, epsilon);
  return -std::expm1(epsilon) + std::exp(epsilon) * positive_delta(mu, -epsilon);
}

bool contains(const Interval& i, long double truth, long double slack) {
  return i.lower <= truth * (1 + slack) && i.upper >= truth * (1 - slack);
}

double ulps(double x, int many) {
  for (int i = 0; i < std::abs(many); ++i) x = std::nextafter(x, many > 0 ? kInfinity : 0.0);
  return x;
}

long double tail(long double x) { return std::erfc(x / std::sqrt(2.0L)) / 2; }

struct Sum {
  long double value;
  long double magnitude;  // of its terms: what cancels
};

// int (dP - e^epsilon dQ)+ for mixtures of normals of deviation s, by the crossing and three tails. P's centre and
// weight q beside N(0, s^2), Q's likewise; the loss increases in x.
Sum mixture_delta(long double s, long double q, bool p_hit, int q_centre, long double epsilon) {
  const auto density = [&](long double x, long double centre) {
    return std::exp(-(x * x - (x - centre) * (x - centre)) / (-2 * s * s));
  };
  const auto loss = [&](long double x) {
    const long double p = p_hit ? 1 - q + q * density(x, 1) : 1;
    const long double other = q_centre != 0 ? 1 - q + q * density(x, q_centre) : 1;
    return std::log(p) - std::log(other);
  };
  long double low = -100 * (1 + s), high = 100 * (1 + s);
  for (int i = 0; i < 200; ++i) {
    const long double middle = (low + high) / 2;
    (loss(middle) <= epsilon ? low : high) = middle;
  }
  const long double x = high, none = tail(x / s), grow = std::exp(epsilon);
  const long double p = p_hit ? (1 - q) * none + q * tail((x - 1) / s) : none;
  const long double other = q_centre != 0 ? (1 - q) * none + q * tail((x - q_centre) / s) : none;
  return {p - grow * other, (p + grow * other) * (1 + x * x / (s * s))};
}

void check_mixture(const Interval& found, const Sum& truth) {
  const long double error = 16 * std::numeric_limits<long double>::epsilon() * truth.magnitude;
  CAPTURE(found.lower);
  CAPTURE(found.upper);
  CAPTURE(static_cast<double>(truth.value));
  CHECK(found.lower <= std::max(0.0L, truth.value) + error);
  CHECK(found.upper >= truth.value - error);
}

}  // namespace

TEST_CASE("the Gaussian curve at known digits") {
  CHECK(contains(gaussian_delta(1, 0), 0.382924922548026207275409221217L, 1e-19L));
  CHECK(contains(gaussian_delta(1, 10), 9.81270582684695594922331111863e-23L, 1e-19L));
  CHECK(contains(gaussian_delta(3, 8), 0.0756038948489868694238380183115L, 1e-19L));
  CHECK(contains(gaussian_delta(1, -1), 0.678817974886627915945620365011L, 1e-19L));
  // the integral that the other tests refer to
  CHECK(std::abs(static_cast<double>(true_delta(1, 10) / 9.81270582684695594922331111863e-23L - 1)) < 1e-16);
  CHECK(std::abs(static_cast<double>(true_delta(3, 8) / 0.0756038948489868694238380183115L - 1)) < 1e-17);
}

TEST_CASE("the Gaussian curve from mu = 1e-6 to 1e6, at levels of either sign") {
  int checked = 0;
  for (int power = -24; power <= 24; ++power) {
    const double mu = std::pow(10.0, power / 4.0);
    for (const double a : {-30.0, -8.0, -3.0, -1.0, -0.1, 0.0, 0.3, 1.0, 2.5, 6.0, 12.0, 20.0, 30.0, 36.0}) {
      for (const double sign : {1.0, -1.0}) {
        // the level at which epsilon/mu - mu/2 is about a
        const double epsilon = sign * mu * (a + 0.5 * mu);
        const Interval found = gaussian_delta(mu, epsilon);
        const double place = std::abs(epsilon) / mu - 0.5 * mu, terms = std::abs(epsilon) / mu + mu;
        const long double rounding = 1e-18L * (1 + std::abs(place)) * (1 + std::abs(place) + terms);
        CAPTURE(mu);
        CAPTURE(epsilon);
        CAPTURE(found.lower);
        CAPTURE(found.upper);
        for (const int away : {0, 8, -8}) {
          const long double truth = true_delta(ulps(mu, away), epsilon);
          CAPTURE(away);
          CAPTURE(static_cast<double>(truth));
          CHECK(contains(found, truth, rounding));
        }
        const double width = (found.upper - found.lower) / found.upper;
        if (found.lower > 1e-290 && std::abs(place) < 40)
          CHECK(width <= 1e-13 * (1 + std::abs(place)) * (2 + std::abs(place) + terms));
        ++checked;
      }
    }
    const Interval at_zero = gaussian_delta(mu, 0);
    CHECK(contains(at_zero, std::erf(mu / std::sqrt(8.0L)), 1e-18L));
  }
  CHECK(checked == 49 * 28);
}

TEST_CASE("the Mills ratio and its slope keep every digit") {
  for (double x = -1; x < 60; x += 0.037) {
    const Mills found = mills(x);
    const long double ratio = std::exp(0.5L * x * x) * std::sqrt(kPi / 2) * std::erfc(x / std::sqrt(2.0L));
    CAPTURE(x);
    const long double rounding = 1e-18L * (1 + static_cast<long double>(x) * x);
    CHECK(std::abs(static_cast<double>(found.ratio / ratio - 1)) <= 64 * kUnit + static_cast<double>(rounding));
    if (x < 8) {  // beyond, the reference cancels
      const long double slope = 1 - x * ratio;
      CHECK(std::abs(static_cast<double>(found.slope / slope - 1)) <=
            64 * kUnit + static_cast<double>(rounding / slope));
    }
  }
}

TEST_CASE("one sampled Gaussian step in both directions, and exchanged") {
  for (const double sigma : {0.2, 0.5, 1.0, 4.0, 50.0}) {
    for (const double rate : {1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999}) {
      const SampledGaussianStep step{sigma, rate};
      const double top = std::log1p(rate * std::expm1(std::min(40.0, (1 + 10 * sigma) / (2 * sigma * sigma))));
      for (const double share : {-1.0, -0.3, -1e-3, 0.0, 1e-6, 0.01, 0.1, 0.3, 0.6, 1.0}) {
        const double epsilon = share * top;
        CAPTURE(sigma);
        CAPTURE(rate);
        CAPTURE(epsilon);
        // below ln(1 - rate) the loss has no crossing
        if (epsilon > std::log1p(-rate) * 0.999) {
          check_mixture(one_step_delta(step, Direction::remove, epsilon), mixture_delta(sigma, rate, true, 0, epsilon));
        } else if (epsilon < std::log1p(-rate)) {
          const Interval found = one_step_delta(step, Direction::remove, epsilon);
          CHECK(contains(found, -std::expm1(static_cast<long double>(epsilon)), 0));
        }
        // the loss of the other direction falls in x: delta_add(eps) = 1 - e^eps + e^eps delta_remove(-eps)
        const Interval added = one_step_delta(step, Direction::add, epsilon);
        if (-epsilon > std::log1p(-rate) * 0.999) {
          const Sum mirrored = mixture_delta(sigma, rate, true, 0, -epsilon);
          const long double grow = std::exp(static_cast<long double>(epsilon));
          check_mixture(added, {1 - grow + grow * mirrored.value, 1 + grow + grow * mirrored.magnitude});
        } else if (-epsilon < std::log1p(-rate)) {
          CHECK(added.lower == 0);
          CHECK(added.upper <= 1e-15);
        }
        const ReplaceSampledGaussianStep replaced{sigma, rate};
        check_mixture(one_step_delta(replaced, Direction::remove, epsilon),
                      mixture_delta(sigma, rate, true, -1, epsilon));
      }
    }
  }
}

TEST_CASE("one Laplace and one approximate step") {
  for (const double scale : {0.05, 1.0, 30.0}) {
    for (const double share : {-1.5, -1.0, -0.4, 0.0, 0.2, 0.99, 1.0, 1.2}) {
      const double epsilon = share / scale;
      const long double top = 1 / static_cast<long double>(scale), level = epsilon;
      const long double laplace = level >= top    ? 0
                                  : level <= -top ? -std::expm1(level)
                                                  : -std::expm1((level - top) / 2);
      const Interval found = one_step_delta(LaplaceStep{scale, 1}, Direction::remove, epsilon);
      CAPTURE(scale);
      CAPTURE(epsilon);
      CHECK(contains(found, laplace, 0));
      CHECK(found.upper - found.lower <= 1e-14 * (1 + std::abs(epsilon)));
      for (const double d : {0.0, 1e-12, 0.1}) {
        const ApproximateStep step{1 / scale, d, 1};
        const long double e = step.epsilon, p = 1 / (1 + std::exp(-e));
        const long double truth =
            d + (1 - static_cast<long double>(d)) * (std::max(0.0L, -std::expm1(level - e)) * p +
                                                     std::max(0.0L, -std::expm1(level + e)) * std::exp(-e) * p);
        CAPTURE(d);
        CHECK(contains(one_step_delta(step, Direction::remove, epsilon), truth, 1e-19L));
      }
    }
  }
}

TEST_CASE("epsilon of one step inverts its curve") {
  for (const Step& step :
       {Step{GaussianStep{1e-4}}, Step{GaussianStep{1}}, Step{GaussianStep{40}}, Step{GaussianStep{1e5}},
        Step{SampledGaussianStep{0.6, 1e-4}}, Step{SampledGaussianStep{2, 0.3}}, Step{LaplaceStep{2, 1}},
        Step{LaplaceStep{0.7, 0.01}}, Step{ApproximateStep{1, 1e-9, 1}}, Step{ApproximateStep{0.3, 0, 0.1}},
        Step{ReplaceSampledGaussianStep{1, 0.05}}}) {
    for (const Direction direction : {Direction::remove, Direction::add}) {
      for (const double delta : {0.4, 1e-3, 1e-8, 1e-20}) {
        CAPTURE(step.index());
        CAPTURE(delta);
        const Interval found = one_step_epsilon(step, direction, delta);
        CHECK(found.lower <= found.upper);
        if (!std::isfinite(found.upper)) {
          CHECK(one_step_delta(step, direction, 1e5).upper > delta);
          continue;
        }
        CHECK(found.upper - found.lower <= std::max(1e-9, 1e-8 * found.upper));
        CHECK(one_step_delta(step, direction, found.upper).lower <= delta);
        if (found.lower > 0) CHECK(one_step_delta(step, direction, found.lower).upper >= delta);
      }
    }
  }
}
