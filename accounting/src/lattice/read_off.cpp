#include "lattice/read_off.hpp"

#include <algorithm>
#include <cmath>

#include "special/rounding.hpp"

namespace dpflash::accounting {

ComposedCurve::ComposedCurve(const Composed& composed, Side side)
    : side_(side),
      start_(composed.law.start),
      spacing_(composed.law.spacing),
      loss_error_(composed.law.loss_error),
      theta_(composed.law.theta),
      at_node_(composed.law.mass.size()) {
  const TiltedLaw& law = composed.law;
  const std::size_t n = law.mass.size();
  const double theta = law.theta, h = spacing_;
  const double fall = std::exp(-theta * h), fall_more = std::exp(-(theta + 1) * h), gain = -std::expm1(-h);
  const bool up = side == Side::upper;
  // the sup over v of e^{-theta v} (1 - e^{-v}): what a unit of mass folded into the window can add at most
  const double peak = theta > 0 ? std::exp(theta * std::log(theta / (1 + theta))) / (1 + theta) : 1;
  const double outside = up ? composed.outside : -composed.outside * peak;
  // rounding of 2 n sums and products of positive terms, of the exponential and of log_scale
  const double slack = kUnit * (64 + 12 * static_cast<double>(n)) + law.log_scale_error;
  outside_log_ = std::log(composed.outside) + law.log_scale + law.log_scale_error + 8 * kUnit * std::abs(law.log_scale);
  const double reach = std::abs(start_) + static_cast<double>(n) * h;
  const double infinity = up ? law.infinity : law.infinity * (1 - 32 * kUnit);
  double above = 0,
         excess = 0;  // sums over nodes to the right of W e^{-(theta+1) gap} and W e^{-theta gap} (1 - e^{-gap})
  for (std::size_t i = n; i-- > 0;) {
    excess = fall * (excess + gain * above);
    const double mass =
        up ? std::max(0.0, law.mass[i]) + composed.mass_error : std::max(0.0, law.mass[i] - composed.mass_error);
    above = mass + fall_more * above;
    const double exponent = law.log_scale - theta * loss(i);
    const double round = slack + kUnit * (8 + 4 * std::abs(law.log_scale) + 4 * theta * reach);
    const double sum = std::max(0.0, excess + outside);
    // a product of an overflow and an underflow says nothing: the lower side leaves such a node to its right neighbour
    const bool lost = !up && (exponent > 600 || sum < 1e-280);
    const double value = infinity + (sum > 0 && !lost ? std::exp(exponent + (up ? round : -round)) * sum : 0);
    at_node_[i] = up ? std::min(1.0, value * (1 + 8 * kUnit)) : std::min(1.0, value * (1 - 8 * kUnit));
    if (std::isnan(at_node_[i])) at_node_[i] = up ? 1 : 0;
  }
  const double first = law.log_scale - theta * start_;
  const double first_round = slack + kUnit * (8 + 4 * std::abs(law.log_scale) + 4 * theta * reach);
  slope_ = !up && first > 600 ? 0
                              : std::exp(first + (up ? first_round : -first_round)) *
                                    std::max(0.0, above + (up ? 0 : -composed.outside));
  const double end = law.log_scale + law.log_scale_error - theta * loss(n) + 4 * kUnit * theta * reach;
  beyond_ = up ? std::min(1.0, infinity + std::exp(end + kUnit * (64 + 8 * std::abs(law.log_scale))) * composed.outside)
               : infinity;
  // a larger level never has a larger divergence: both sides may use the better neighbour
  if (up) {
    for (std::size_t i = 1; i < n; ++i) at_node_[i] = std::min(at_node_[i], at_node_[i - 1]);
  } else {
    double best = beyond_;
    for (std::size_t i = n; i-- > 0;) best = at_node_[i] = std::max(at_node_[i], best);
  }
}

double ComposedCurve::epsilon(double delta) const {
  const bool up = side_ == Side::upper;
  const std::size_t n = at_node_.size();
  // first node at which the curve is down to delta
  const auto it = std::partition_point(at_node_.begin(), at_node_.end(), [&](double v) { return v > delta; });
  const auto i = static_cast<std::size_t>(it - at_node_.begin());
  double value;
  if (i == 0) {
    value = up ? loss(0) : -kInfinity;
  } else {
    const double left = at_node_[i - 1], right = i < n ? at_node_[i] : beyond_;
    if (right > delta) {
      value = up ? kInfinity : loss(n);
    } else {
      const double share = left > right ? (left - delta) / (left - right) : 1;
      value = loss(i - 1) + std::log1p(share * std::expm1(spacing_));
    }
  }
  const double slack = loss_error_ + 16 * kUnit * (std::abs(value) + spacing_);
  value = up ? value + slack : value - slack;
  return value > 0 ? value : 0;
}

double ComposedCurve::delta(double epsilon) const {
  const bool up = side_ == Side::upper;
  const std::size_t n = at_node_.size();
  const double slack = loss_error_ + 8 * kUnit * (std::abs(epsilon) + std::abs(start_));
  const double level = up ? epsilon - slack : epsilon + slack;
  const double position = (level - start_) / spacing_;
  if (position < 0) {  // no atom of the window there: only the subtracted Q-mass shrinks
    const double value = at_node_.front() - std::expm1(level - start_) * slope_;
    if (!up) return std::min(1.0, value * (1 - 8 * kUnit));
    // what lies below the window, at most `outside` of tilted mass, counts fully
    return std::min(1.0, value * (1 + 8 * kUnit) +
                             std::exp(outside_log_ - theta_ * level + kUnit * (64 + 8 * std::abs(theta_ * level))));
  }
  if (!(position < static_cast<double>(n))) return beyond_;
  const auto i = static_cast<std::size_t>(position);
  const double left = at_node_[i], right = i + 1 < n ? at_node_[i + 1] : beyond_;
  const double gap = std::clamp(level - loss(i), 0.0, spacing_);
  const double share = std::expm1(gap) / std::expm1(spacing_);
  const double value = left + (right - left) * std::min(1.0, share);
  return up ? std::min(1.0, value + 8 * kUnit * left) : std::max(0.0, value - 8 * kUnit * left);
}

TiltedLaw coarsen(const Composed& composed, std::size_t factor, double log_untilted, Side side) {
  const TiltedLaw& law = composed.law;
  const bool up = side == Side::upper;
  const std::size_t n = law.mass.size();
  if (law.theta * law.spacing * static_cast<double>(n) > 1200) throw TooLong(2);  // untilting would overflow
  // the heaviest atom goes onto a coarse node: where rare events are composed it holds nearly all mass
  const auto heaviest = static_cast<std::size_t>(std::max_element(law.mass.begin(), law.mass.end()) - law.mass.begin());
  const std::size_t pad = (factor - heaviest % factor) % factor,
                    bins = std::max<std::size_t>(4, (n + pad + factor - 1) / factor);
  const double middle = 0.5 * static_cast<double>(n);
  BinTable table;
  table.start = law.start - static_cast<double>(pad) * law.spacing;
  table.spacing = law.spacing * static_cast<double>(factor);
  table.resize(bins);
  // untilted relative to the window's middle: the exponents stay within a few hundred
  for (std::size_t i = 0; i < n; ++i) {
    const double slope = law.theta * law.spacing * (middle - static_cast<double>(i));
    const double mass = up ? std::max(0.0, law.mass[i]) + composed.mass_error
                           : std::max(0.0, law.mass[i] - composed.mass_error - composed.outside);
    if (mass > 0) {
      const double p = mass * std::exp(slope);
      const std::size_t bin = (i + pad) / factor, inside = (i + pad) % factor;
      if (inside == 0) {
        table.node_atoms.push_back({bin, p});
        table.cell_error = std::max(table.cell_error, kUnit * (32 + 4 * std::abs(slope)));
      } else {
        table.add_atom_at(bin, static_cast<double>(inside) * law.spacing, p, kUnit * (32 + 4 * std::abs(slope)));
      }
    }
  }
  LatticeLaw coarse = up ? upper_law(table) : lower_law(table);
  coarse.infinity = 0;
  TiltedLaw out =
      tilt(coarse, law.theta,
           law.loss_error + 16 * kUnit * (std::abs(law.start) + static_cast<double>(n) * law.spacing), side);
  out.log_scale += law.log_scale - law.theta * (law.start + middle * law.spacing);
  out.log_scale_error +=
      law.log_scale_error + kUnit * (64 + 8 * std::abs(law.log_scale) +
                                     8 * law.theta * (std::abs(law.start) + static_cast<double>(n) * law.spacing));
  out.infinity = up ? law.infinity + 2 * std::exp(log_untilted) : law.infinity * (1 - 32 * kUnit);
  out.missing = 2 * composed.outside;
  return out;
}

}  // namespace dpflash::accounting
