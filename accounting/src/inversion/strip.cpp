#include "inversion/strip.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "special/simd_math.hpp"

namespace dpflash::accounting::inversion {
namespace {

using simd::load;
using simd::V;

constexpr double kPi = std::numbers::pi;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

DPFLASH_SIMD_INLINE V larger(V x, V y) { return x > y ? x : y; }
DPFLASH_SIMD_INLINE V smaller(V x, V y) { return x < y ? x : y; }

DPFLASH_SIMD_INLINE V square_root(V x) {
  V y;
  for (std::size_t i = 0; i < simd::kLanes; ++i) y[i] = __builtin_sqrt(x[i]);
  return y;
}

struct Angle {
  double phi0;
  double sine;
  double cosine;
  double half_sine2;  // sin^2(phi0/2)
};

/// Upper bound of arg(1 - r + r e^{i phi0}): arctan y < pi y / (1 + 2 sqrt(1 + y^2)) at half the angle.
DPFLASH_SIMD_INLINE V argument_bound(V r, const Angle& a) {
  const V y = r * a.sine, x = 1.0 - r + r * a.cosine;
  const V length = square_root(x * x + y * y);
  const V tangent = y / larger(length + x, V{} + 1e-300);
  const V bound = (2 * kPi * (1 + 1e-12)) * tangent / (1.0 + 2.0 * square_root(1.0 + tangent * tangent));
  return smaller(bound, V{} + a.phi0);
}

/// Lower bound of ln(|1 - r + r e^{i phi0}|^2) for all responsibilities up to r.
DPFLASH_SIMD_INLINE V log_modulus2_bound(V r, const Angle& a) {
  const V capped = smaller(r, V{} + 0.5);
  return simd::log1p(larger(-(4.0 * a.half_sine2) * capped * (1.0 - capped), V{} - a.half_sine2)) * (1.0 + 1e-12);
}

DPFLASH_MULTIVERSION double cell_sum(const Nodes& nodes, const Angle& a, double t) {
  const double* gauss = nodes.column(Nodes::kGauss);
  const double* tilt = nodes.column(Nodes::kTilt);
  const double* rise = nodes.column(Nodes::kRise);
  const double* other = nodes.column(Nodes::kRiseOther);
  V total = {};
  for (std::size_t i = 0; i < nodes.last(); i += simd::kLanes) {
    const V right = load(rise + i + 1), left = load(other + i);
    V exponent = larger(load(gauss + i), load(gauss + i + 1)) + larger(load(tilt + i), load(tilt + i + 1));
    V angle = argument_bound(right, a);
    if (nodes.pair == Pair::add) exponent -= (0.5 * nodes.theta) * log_modulus2_bound(right, a);
    if (nodes.pair == Pair::replace) {
      exponent -= (0.5 * nodes.theta) * log_modulus2_bound(left, a);
      angle += argument_bound(left, a);
    }
    total += simd::exp(exponent - nodes.shift + t * angle);
  }
  return simd::sum(total);
}

}  // namespace

std::vector<double> strip_angles(double sigma) {
  std::vector<double> angles;
  const double largest = std::min(2.8, 9.6 / sigma);
  for (const double part : {1.0, 0.8, 0.62, 0.46, 0.33, 0.22, 0.13, 0.07}) angles.push_back(part * largest);
  return angles;
}

double strip_integral(const Nodes& nodes, double phi0, double t) {
  const double half_sine = std::sin(0.5 * phi0) * (1 + 1e-14);
  const Angle a{phi0, std::sin(phi0) * (1 + 1e-14), std::cos(phi0) * (1 - 1e-14), half_sine * half_sine};
  const double inside = cell_sum(nodes, a, t) * nodes.spacing;
  const double log_growth = nodes.pair == Pair::remove ? 0 : -0.5 * nodes.theta * std::log1p(-a.half_sine2);
  const double turn = nodes.pair == Pair::replace ? 2 * phi0 : phi0;
  const std::size_t last = nodes.last();
  // Left of the window the argument is at most its bound at x_0, except for the mirrored factor of `replace`.
  const V r = V{} + nodes.column(Nodes::kRise)[0];
  const double left_turn = nodes.pair == Pair::replace ? turn : argument_bound(r, a)[0];
  const double tails = nodes.column(Nodes::kWeight)[0] / nodes.left_slope * std::exp(log_growth + t * left_turn) +
                       nodes.column(Nodes::kWeight)[last] / nodes.right_slope * std::exp(log_growth + t * turn);
  const double s = phi0 * nodes.sigma;
  const double bound = 1.001 * std::exp(0.5 * s * s) * (inside + tails) / (nodes.sums.weight * nodes.spacing);
  return bound < 1e300 ? bound : kInfinity;
}

double strip_linear(const Nodes& nodes, double phi0) {
  const double s = phi0 * nodes.sigma;
  return 1.001 * std::exp(0.5 * s * s) * (1 + 2 * (2 * nodes.theta + 1) * nodes.rate);
}

double trapezoid_error(double integral, double phi0, double sigma, double spacing) {
  const double decay = 2 * kPi * phi0 * sigma * sigma / spacing * (1 - 1e-12);
  return decay > 1 ? 1.001 * 2 * integral * std::exp(-decay) / -std::expm1(-decay) : kInfinity;
}

double spacing_for(double integral, double phi0, double sigma, double error) {
  return 2 * kPi * phi0 * sigma * sigma / std::log1p(2.01 * integral / error);
}

Cumulant cumulant(const Nodes& nodes, double z) {
  const double density = 1 / (nodes.sigma * std::sqrt(2 * kPi));
  const double normal = density * nodes.spacing;  // few u, relative
  double relative = kInfinity, linear = kInfinity;
  const bool plain = nodes.shift == 0;
  for (const double phi0 : strip_angles(nodes.sigma)) {
    relative = std::min(relative, trapezoid_error(strip_integral(nodes, phi0, 0), phi0, nodes.sigma, nodes.spacing));
    linear = std::min(linear, trapezoid_error(strip_linear(nodes, phi0), phi0, nodes.sigma, nodes.spacing));
  }
  relative += 1.001 * nodes.outside_weight() / (nodes.sums.weight * nodes.spacing);
  if (!(relative < 0.01)) return {0, kInfinity};
  if (!plain) {
    const double value = nodes.shift + simd::log(V{} + normal * nodes.sums.weight)[0];
    const double rounding =
        nodes.sums.weight_error + simd::kUnit * (static_cast<double>(nodes.size) / 8 + 40 + 4 * std::fabs(value));
    return {value, 1.02 * relative + 1.01 * rounding};
  }
  const double g = std::max(0.0, normal * nodes.sums.bernoulli);
  const double outside = 2 * std::exp(-0.5 * z * z) * (1 + 2 * (2 * nodes.theta + 1) * nodes.rate);
  const double error =
      1.6 * relative * (1 + g) + linear + outside + normal * nodes.sums.bernoulli_error + 12 * simd::kUnit * g;
  const double value = simd::log1p(V{} + g)[0];
  // log1p has slope at most 1/(1 + g - error) there.
  return {value, error < 0.5 * (1 + g) ? 1.001 * error / (1 + g - error) + 4 * simd::kUnit * value : kInfinity};
}

}  // namespace dpflash::accounting::inversion
