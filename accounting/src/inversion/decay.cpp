#include "inversion/decay.hpp"

#include <algorithm>
#include <cmath>

#include "special/simd_math.hpp"

namespace dpflash::accounting::inversion {
namespace {

/// Lower bounds of the tilted density of the loss on the cells, divided by the total mass.
std::vector<double> density_bounds(const Nodes& nodes) {
  const double* gauss = nodes.column(Nodes::kGauss);
  const double* tilt = nodes.column(Nodes::kTilt);
  const double* rise = nodes.column(Nodes::kRise);
  const double* other = nodes.column(Nodes::kRiseOther);
  const double* weight = nodes.column(Nodes::kWeight);
  const double scale = nodes.sigma * nodes.sigma / (nodes.sums.weight * nodes.spacing) * (1 - 1e-6);
  std::vector<double> bound(nodes.last());
  for (std::size_t i = 0; i < bound.size(); ++i) {
    const double steepest = std::min(rise[i + 1], 1.0) + std::min(other[i], 1.0);
    // min of gauss times min of the power: w_i is their product at x_i, the rest corrects to the cell's minima.
    const double drop = std::min(0.0, gauss[i + 1] - gauss[i]) + std::min(0.0, tilt[i + 1] - tilt[i]);
    bound[i] = steepest > 0 ? weight[i] * std::exp(drop) * scale / steepest : 0;
  }
  return bound;
}

/// 1 - env(x): env is non-increasing and at least |sin(y)/y| for all y >= x.
double deficit(double x) {
  const double x2 = x * x;
  if (x2 <= 10) return std::min(x2 / 6 - x2 * x2 / 120, 0.7827);
  return std::max(0.7827, 1 - 1 / x);
}

}  // namespace

Decay::Decay(const Nodes& nodes, double count) : count_(count) {
  std::vector<double> density = density_bounds(nodes);
  const double* loss = nodes.column(Nodes::kLoss);
  const double* error = nodes.column(Nodes::kLossError);
  // The loss may be flat to rounding (rare hits recognised at once): only what certainly separates the ends counts.
  const auto width_of = [&](std::size_t left, std::size_t right) {
    const double rounding = 1.01 * simd::kUnit * (error[left] + error[right + 1]);
    return std::max(0.0, (std::fabs(loss[right + 1] - loss[left]) - rounding) * (1 - 1e-6));
  };
  // Start where a layer as high as one cell would carry most variance-like weight: the highest cell of notable mass.
  std::size_t mode = 0;
  double best = -1;
  for (std::size_t i = 0; i < density.size(); ++i) {
    const double mass = density[i] * width_of(i, i);
    if (density[i] > best && mass > 1e-3) best = density[mode = i];
  }
  if (best < 0) return;
  for (std::size_t i = mode; i-- > 0;) density[i] = std::min(density[i], density[i + 1]);
  for (std::size_t i = mode + 1; i < density.size(); ++i) density[i] = std::min(density[i], density[i - 1]);
  std::size_t left = mode, right = mode;
  double height = density[mode], used = 0, first_width = width_of(mode, mode);
  while (height > 0) {
    const double next_left = left > 0 ? density[left - 1] : 0,
                 next_right = right + 1 < density.size() ? density[right + 1] : 0;
    const double next = std::max(next_left, next_right), width = width_of(left, right);
    const double mass = std::min((height - next) * width, 1 - used);
    if (mass > 0) {
      // Neighbouring layers share the narrower width, a valid and cheap weakening.
      if (!layers_.empty() && width < 1.3 * first_width) {
        layers_.back().mass += mass;
      } else {
        layers_.push_back({mass, width});
        first_width = width;
      }
      used += mass;
    }
    height = next;
    if (next_left >= next_right && left > 0)
      --left;
    else if (right + 1 < density.size())
      ++right;
    else
      break;
  }
}

double Decay::log_bound(double t) const {
  double loss = 0;
  for (const Layer& layer : layers_) loss += layer.mass * deficit(0.5 * t * layer.width);
  return count_ * std::log1p(-std::min(loss, 1 - 1e-12)) * (1 - 1e-9);
}

}  // namespace dpflash::accounting::inversion
