#include "inversion/nodes.hpp"

#include <algorithm>
#include <cmath>

namespace dpflash::accounting::inversion {
namespace {

constexpr double kLargestExponent = 600;  // weights stay inside the double range without a shift
constexpr double kLargestLogRatio = 690;  // |ln lambda| in the window

double loss_at(double u, double q) {
  return u > 30 ? u + std::log(q) + std::log1p((1 - q) / q * std::exp(-u)) : std::log1p(q * std::expm1(u));
}

double responsibility(double u, double q) { return 1 / (1 + (1 - q) / q * std::exp(-u)); }

/// Shift m such that right of x the log-weight's slope is -(x - m)/sigma^2 or steeper up to `far`, where it is steeper
/// than -reach/sigma^2 and stays so (section 3.3): the loss is convex, hence below its chord.
double right_shift(const SampledPhase& phase, double theta, double reach, double x) {
  if (phase.pair == Pair::add) return 0;
  const double s2 = phase.sigma * phase.sigma, q = phase.rate, a = theta + 1;
  const double other = phase.pair == Pair::replace ? theta * q : 0, far = a + other + reach;
  if (x > far - 0.01 * reach) return a + other;
  const double rise = loss_at((far - 0.5) / s2, q) - loss_at((x - 0.5) / s2, q);
  return std::min(1.0, rise / (far - x) * s2 * (1 + 1e-9)) * a + other;
}

struct Window {
  double left, right;
  double left_shift;  // left of `left` the log-weight's slope is -(x - left_shift)/sigma^2 or steeper
};

Window window_of(const SampledPhase& phase, double theta, double z) {
  const double reach = z * phase.sigma, s2 = phase.sigma * phase.sigma;
  if (phase.pair == Pair::add) {
    const double push = theta * responsibility((-reach - 0.5) / s2, phase.rate) * (1 + 1e-9);
    return {-(reach + push), 1 + reach, -push};
  }
  const bool replace = phase.pair == Pair::replace;
  const double far = theta + 1 + (replace ? theta * phase.rate : 0) + reach;
  double right = std::min(1 + reach, far);
  for (int i = 0; i < 4; ++i) right = std::min(far, std::max(right, reach + right_shift(phase, theta, reach, right)));
  if (right - right_shift(phase, theta, reach, right) < 0.5 * reach) right = far;
  return {replace ? -(1 + reach) : -reach, right, 0};
}

}  // namespace

double round_to_bits(double x, int bits) {
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::floor(std::ldexp(mantissa, bits)), exponent - bits);
}

double Nodes::outside_weight() const {
  return 1.001 * (column(kWeight)[0] / left_slope + column(kWeight)[last()] / right_slope);
}

std::optional<Nodes> make_nodes(const SampledPhase& phase, double theta, double spacing, double z,
                                std::size_t max_size) {
  const double s2 = phase.sigma * phase.sigma;
  const Window window = window_of(phase, theta, z);
  Nodes nodes{};
  nodes.theta = theta;
  nodes.sigma = phase.sigma;
  nodes.rate = phase.rate;
  nodes.pair = phase.pair;
  nodes.spacing = round_to_bits(spacing, 20);
  nodes.first = std::floor(window.left / nodes.spacing);
  const double cells = std::ceil(window.right / nodes.spacing) - nodes.first;
  if (!(cells < static_cast<double>(max_size)) || !(std::fabs(nodes.first) < 0x1p30)) return std::nullopt;
  nodes.size = (static_cast<std::size_t>(cells) / 8 + 2) * 8;
  const double left = nodes.first * nodes.spacing;
  const double right = (nodes.first + static_cast<double>(nodes.size)) * nodes.spacing;
  if (!((std::max(-left, right) + 0.5) / s2 < kLargestLogRatio)) return std::nullopt;
  nodes.left_slope = (window.left_shift - left) / s2 * (1 - 1e-9);
  const double inner = (nodes.first + static_cast<double>(nodes.last())) * nodes.spacing;
  const double reach = z * phase.sigma;
  nodes.right_slope = std::min(inner - right_shift(phase, theta, reach, inner), reach) / s2 * (1 - 1e-9);
  if (!(nodes.left_slope > 0) || !(nodes.right_slope > 0)) return std::nullopt;
  nodes.storage.resize(Nodes::kColumns * nodes.size);
  const kernel::Largest largest = kernel::fill_columns(nodes);
  if (!std::isfinite(largest.exponent) || !std::isfinite(largest.tilt)) return std::nullopt;
  nodes.shift = largest.tilt > kLargestExponent ? largest.exponent : 0;
  kernel::fill_weights(nodes);
  if (!(nodes.sums.weight > 0) || !std::isfinite(nodes.sums.weight) || !(nodes.sums.variance > 0)) return std::nullopt;
  return nodes;
}

}  // namespace dpflash::accounting::inversion
