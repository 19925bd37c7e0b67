#include "closed_form/gaussian.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

constexpr double kInvSqrt2Pi = 0.398942280401432677939946059934;

// Below this the Mills ratio comes from erfc, above it from Laplace's continued fraction: both keep every digit there.
constexpr double kFractionFrom = 2.0;
// Convergents of a positive continued fraction enclose its value; at x = 2 the 100th differs from the 101st by < 1e-19.
constexpr int kFractionTerms = 100;

struct Panel {
  double node;
  double weight;
};
// Ten-point Gauss-Legendre rule on [-1, 1].
constexpr std::array<Panel, 5> kRule{{{0.148874338981631211, 0.295524224714752870},
                                      {0.433395394129247191, 0.269266719309996355},
                                      {0.679409568299024406, 0.219086362515982044},
                                      {0.865063366688984511, 0.149451349150580593},
                                      {0.973906528517171720, 0.066671344308688138}}};

// Integral of the slope over [a, a + mu], mu <= 1: m(a) - m(a + mu) without the subtraction.
double mills_drop(double a, double mu) {
  const double half = 0.5 * mu;
  const double middle = a + half;
  double sum = 0;
  for (const Panel& p : kRule)
    sum += p.weight * (mills(middle - half * p.node).slope + mills(middle + half * p.node).slope);
  return half * sum;
}

// The curve for epsilon >= 0 and its relative error.
Interval nonnegative_epsilon(double mu, double epsilon) {
  const double shift = epsilon / mu;
  const double a = shift - 0.5 * mu;
  const double b = shift + 0.5 * mu;
  if (a > 1e8) return {0, kSmallest};
  const double density = kInvSqrt2Pi * std::exp(-0.5 * a * a);
  double value;
  if (mu <= 1) {
    value = density * mills_drop(a, mu);
  } else if (a >= 0) {
    value = density * (mills(a).ratio - mills(b).ratio);
  } else {
    value = 0.5 * std::erfc(a * std::numbers::sqrt2 / 2) - density * mills(b).ratio;
  }
  // Relative condition: |d ln delta / d a| <= |a| + 3 at fixed b - a, the same for mu; a carries 12 ulps of its terms.
  const double terms = std::max(shift, 0.5 * mu);
  const double cancellation = mu <= 1 ? 64 : 256 * (1 + std::max(a, 0.0));
  const double error = kUnit * (cancellation + 4 * a * a + (std::abs(a) + 3) * 12 * (terms + mu));
  if (!(error < 1)) return {0, std::min(1.0, value * 2 + kSmallest)};
  return {std::max(0.0, value * (1 - error) - kSmallest), std::min(1.0, value * (1 + error) + kSmallest)};
}

}  // namespace

Mills mills(double x) {
  if (x < kFractionFrom) {
    const double ratio = 0.5 * std::erfc(x * std::numbers::sqrt2 / 2) / (kInvSqrt2Pi * std::exp(-0.5 * x * x));
    return {ratio, 1 - x * ratio};
  }
  double tail = x;
  for (int n = kFractionTerms; n >= 2; --n) tail = x + n / tail;
  const double first = 1 / tail;
  return {1 / (x + first), first / (x + first)};
}

Interval gaussian_delta(double mu, double epsilon) {
  if (epsilon >= 0) return nonnegative_epsilon(mu, epsilon);
  // delta(-e) = 1 - e^-e + e^-e delta(e): P and Q may be exchanged.
  const Interval mirrored = nonnegative_epsilon(mu, -epsilon);
  const double scale = std::exp(epsilon);
  const double base = -std::expm1(epsilon);
  return {(base + scale * mirrored.lower) * (1 - 8 * kUnit),
          std::min(1.0, (base + scale * mirrored.upper) * (1 + 8 * kUnit))};
}

}  // namespace dpflash::accounting
