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
      log_scale_(composed.law.log_scale),
      sum_(composed.law.mass.size()) {
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
  infinity_ = up ? law.infinity : law.infinity * (1 - 32 * kUnit);
  round_ = slack + kUnit * (8 + 4 * std::abs(law.log_scale) + 4 * theta * reach);
  double above = 0,
         excess = 0;  // sums over nodes to the right of W e^{-(theta+1) gap} and W e^{-theta gap} (1 - e^{-gap})
  for (std::size_t i = n; i-- > 0;) {
    excess = fall * (excess + gain * above);
    const double mass =
        up ? std::max(0.0, law.mass[i]) + composed.mass_error : std::max(0.0, law.mass[i] - composed.mass_error);
    above = mass + fall_more * above;
    sum_[i] = excess + outside > 0 ? excess + outside : std::isnan(excess) ? excess : 0;
  }
  const double first = law.log_scale - theta * start_;
  slope_ = !up && first > 600
               ? 0
               : std::exp(first + (up ? round_ : -round_)) * std::max(0.0, above + (up ? 0 : -composed.outside));
  const double end = law.log_scale + law.log_scale_error - theta * loss(n) + 4 * kUnit * theta * reach;
  beyond_ =
      up ? std::min(1.0, infinity_ + std::exp(end + kUnit * (64 + 8 * std::abs(law.log_scale))) * composed.outside)
         : infinity_;
}

bool ComposedCurve::lost(std::size_t i) const { return side_ == Side::lower && sum_[i] < 1e-290; }

void ComposedCurve::tabulate() {
  RealVector values(sum_.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = worked_out(i);
  values_ = std::move(values);
}

double ComposedCurve::worked_out(std::size_t i) const {
  const bool up = side_ == Side::upper;
  if (std::isnan(sum_[i]) || std::isinf(sum_[i])) return up ? 1 : 0;
  if (!(sum_[i] > 0) || lost(i)) return std::min(1.0, infinity_);
  // by the sum of logarithms, since the factors may over- and underflow
  const double log_sum = std::log(sum_[i]), round = round_ + 4 * kUnit * std::abs(log_sum);
  const double value = infinity_ + std::exp(log_scale_ - theta_ * loss(i) + log_sum + (up ? round : -round));
  return std::min(1.0, value * (up ? 1 + 8 * kUnit : 1 - 8 * kUnit));
}

// The curve falls, but far left of the tilt the lower side knows nothing and reads zero: so the search comes from the
// right, in strides, and only its last stride is halved. Any node with the property gives a valid answer.
std::size_t ComposedCurve::first_at_most(double delta) const {
  constexpr std::size_t kStride = 64;
  std::size_t high = sum_.size();
  while (high > 0) {
    const std::size_t low = high > kStride ? high - kStride : 0;
    if (at_node(low) > delta) {
      std::size_t i = low + 1;
      for (std::size_t count = high - i; count > 0;) {
        const std::size_t half = count / 2;
        if (at_node(i + half) > delta) {
          i += half + 1;
          count -= half + 1;
        } else {
          count = half;
        }
      }
      return i;
    }
    high = low;
  }
  return 0;
}

double ComposedCurve::epsilon(double delta) const {
  const bool up = side_ == Side::upper;
  const std::size_t n = sum_.size();
  const std::size_t i = first_at_most(delta);
  double value;
  if (i == 0) {
    value = up ? loss(0) : -kInfinity;
  } else {
    const double left = at_node(i - 1), right = i < n ? at_node(i) : beyond_;
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
  const std::size_t n = sum_.size();
  const double slack = loss_error_ + 8 * kUnit * (std::abs(epsilon) + std::abs(start_));
  const double level = up ? epsilon - slack : epsilon + slack;
  const double position = (level - start_) / spacing_;
  if (position < 0) {  // no atom of the window there: only the subtracted Q-mass shrinks
    const double value = at_node(0) - std::expm1(level - start_) * slope_;
    if (!up) return std::min(1.0, value * (1 - 8 * kUnit));
    // what lies below the window, at most `outside` of tilted mass, counts fully
    return std::min(1.0, value * (1 + 8 * kUnit) +
                             std::exp(outside_log_ - theta_ * level + kUnit * (64 + 8 * std::abs(theta_ * level))));
  }
  if (!(position < static_cast<double>(n))) return beyond_;
  const auto i = static_cast<std::size_t>(position);
  const double left = at_node(i), right = i + 1 < n ? at_node(i + 1) : beyond_;
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
