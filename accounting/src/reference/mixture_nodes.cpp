#include "reference/mixture_nodes.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "reference/exp_remainder.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

using simd::V;

constexpr std::int64_t kDense = 4096;    // nodes laid without looking for gaps
constexpr std::int64_t kBlock = 64;      // shortest stretch that may be a gap
constexpr std::size_t kLimit = 300'000;  // nodes; beyond, the caller's cap answers
constexpr double kPadding = -1e5;        // ln weight of the nodes that fill up a vector

template <class Number>
struct Columns {
  Number *log_weight, *weight, *loss, *reverse, *fixed, *per_order;
};

struct Constants {
  double step, log_step, inverse_sigma, half, rate, log_rate, odds;  // half = 1/(2 sigma^2), odds = (1-q)/q
  bool plus, minus;
};

// ln(1 + q (e^x - 1)), by the far form where e^x would overflow.
DPFLASH_SIMD_INLINE V log_level(V x, const Constants& c) {
  const V near = simd::log1p(c.rate * simd::expm1(x > 600.0 ? V{} + 600.0 : x));
  const V far = x + c.log_rate + c.odds * simd::exp(-x);
  return x > 600.0 ? far : near;
}

DPFLASH_MULTIVERSION void fill_columns(const Constants& c, double first_index, std::size_t n,
                                       const Columns<double>& out) {
  for (std::size_t i = 0; i < n; i += simd::kLanes) {
    const V s = simd::ramp(first_index + static_cast<double>(i)) * c.step;
    const V x = s * c.inverse_sigma;
    V log_weight = -0.5 * (s * s) + c.log_step, loss{};
    if (c.plus) {
      const V level = log_level(x - c.half, c);
      log_weight += level;
      loss += level;
    }
    if (c.minus) loss -= log_level(-x - c.half, c);
    const V weight = simd::exp(log_weight);
    const V distance = (s < 0.0 ? -s : s) + c.inverse_sigma;
    simd::store(out.log_weight + i, log_weight);
    simd::store(out.weight + i, weight);
    simd::store(out.loss + i, loss);
    simd::store(out.reverse + i, weighted_exp_remainder(log_weight, weight, -loss));
    // Derivatives of ln term by s, x and level, times their errors: docs/math/renyi.md, section 4.
    simd::store(out.fixed + i, 64.0 + 4.0 * (s * s) + 16.0 * distance);
    simd::store(out.per_order + i, 8.0 * c.inverse_sigma * distance);
  }
}

struct Sums {
  double value, fixed, per_order;
};

DPFLASH_MULTIVERSION Sums sum_columns(const Columns<const double>& in, std::size_t n, double excess) {
  V value{}, fixed{}, per_order{};
  for (std::size_t i = 0; i < n; i += simd::kLanes) {
    const V remainder = weighted_exp_remainder(simd::load(in.log_weight + i), simd::load(in.weight + i),
                                               excess * simd::load(in.loss + i));
    const V term = remainder + excess * simd::load(in.reverse + i);
    value += term;
    fixed += term * simd::load(in.fixed + i);
    per_order += term * simd::load(in.per_order + i);
  }
  return {simd::sum(value), simd::sum(fixed), simd::sum(per_order)};
}

}  // namespace

double MixtureNodes::level(double s) const {
  const double x = (s - 0.5 / pair_.sigma) / pair_.sigma;
  if (x < 600) return std::log1p(pair_.rate * std::expm1(x));
  return x + std::log(pair_.rate) + (1 - pair_.rate) / pair_.rate * std::exp(-x);
}

double MixtureNodes::share(double s) const {
  const double x = (s - 0.5 / pair_.sigma) / pair_.sigma;
  return 1 / (1 + (1 - pair_.rate) / pair_.rate * std::exp(-x));
}

// ln of one node's term without the spacing; a guide for the choice of nodes, so that rounding does not matter.
double MixtureNodes::log_term(double s, double excess) const {
  const double above = pair_.plus ? level(s) : 0;
  const double loss = above - (pair_.minus ? level(-s) : 0);
  const double base = above - 0.5 * s * s;
  if (excess * loss > 30) return base + excess * loss;
  return base + std::log(exp_remainder(excess * loss) + excess * exp_remainder(-loss) + kSmallest);
}

// l+ is convex, hence below its chord; -l- increases; the rest is a parabola. Covers the term where v+ > 0 > v-.
double MixtureNodes::log_bound(double from, double to, double excess) const {
  double at_from = 0, slope = 0;
  if (pair_.plus) {
    at_from = (1 + excess) * level(from);
    slope = ((1 + excess) * level(to) - at_from) / (to - from);
  }
  const double s = std::clamp(slope, from, to);
  const double fixed = pair_.minus ? -excess * level(-to) : 0;
  const double size = std::abs(at_from) + std::abs(slope * (s - from)) + s * s + std::abs(fixed);
  return at_from + slope * (s - from) - 0.5 * s * s + fixed + 64 * kUnit * size;
}

double MixtureNodes::decay(double excess) const {
  const double x = (last_ - 0.5 / pair_.sigma) / pair_.sigma;
  double slope = 0;  // bound of sigma d/ds of ln term beyond last_
  const double loss = (pair_.plus ? level(last_) : 0) - (pair_.minus ? level(-last_) : 0);
  if (!(loss > 0) || !(x > 0)) return 0;
  if (pair_.plus) slope += 1 + excess - 2 / std::expm1(-x);
  if (pair_.minus) slope += share(-last_) * (excess + 2 / loss);
  return (last_ - slope / pair_.sigma) * (1 - 1e-9);
}

void MixtureNodes::append(std::int64_t from, std::int64_t to) {
  const auto wanted = static_cast<std::size_t>(to - from);
  const std::size_t padded = (wanted + simd::kLanes - 1) / simd::kLanes * simd::kLanes;
  const std::size_t old = loss_.size();
  for (auto* column : {&log_weight_, &weight_, &loss_, &reverse_, &fixed_, &per_order_}) column->resize(old + padded);
  const double sigma = pair_.sigma, q = pair_.rate;
  const Constants constants{step_,       log_step_,  1 / sigma,  0.5 / (sigma * sigma), q, std::log(q),
                            (1 - q) / q, pair_.plus, pair_.minus};
  fill_columns(constants, static_cast<double>(from), padded,
               {&log_weight_[old], &weight_[old], &loss_[old], &reverse_[old], &fixed_[old], &per_order_[old]});
  for (std::size_t i = old + wanted; i < old + padded; ++i) {
    log_weight_[i] = kPadding;
    weight_[i] = loss_[i] = reverse_[i] = fixed_[i] = per_order_[i] = 0;
  }
  last_index_ = old + wanted - 1;
}

void MixtureNodes::select(std::int64_t from, std::int64_t to, double excess, double floor) {
  const auto count = static_cast<double>(to - from);
  const double bound = log_bound(static_cast<double>(from) * step_, static_cast<double>(to) * step_, excess) +
                       std::log(count) + log_step_;
  if (bound < floor) {
    gaps_ = true;
    const double top = std::max(log_gaps_, bound);
    log_gaps_ = top + std::log1p(std::exp(std::min(log_gaps_, bound) - top));
  } else if (loss_.size() > kLimit) {
    gaps_ = true;
    log_gaps_ = kInfinity;
  } else if (to - from <= kBlock) {
    append(from, to);
  } else {
    const std::int64_t middle = from + (to - from) / 2;
    select(from, middle, excess, floor);
    select(middle, to, excess, floor);
  }
}

void MixtureNodes::build(double step, double reach, double excess) {
  for (auto* column : {&log_weight_, &weight_, &loss_, &reverse_, &fixed_, &per_order_}) column->clear();
  const double sigma = pair_.sigma, inverse = 1 / sigma;
  step_ = step;
  log_step_ = std::log(step * std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  gaps_ = false;
  log_gaps_ = -kInfinity;
  // The right-most place where the plain integrand can peak: s = pull(s), pull decreasing.
  const auto pull = [&](double s) {
    return ((pair_.plus ? 1 + excess : 0) + (pair_.minus ? excess * share(-s) : 0)) * inverse;
  };
  double low = 0, high = pull(0);
  for (int i = 0; i < 60 && high - low > 0.01; ++i)
    (pull(0.5 * (low + high)) > 0.5 * (low + high) ? low : high) = 0.5 * (low + high);
  const double left = reach + (pair_.minus ? inverse + std::min(1.0, inverse) : 0);
  const double right = high + reach + (sigma < 1 && pair_.plus ? 4 * inverse : 0) + inverse;
  const auto from = static_cast<std::int64_t>(-std::ceil(left / step)),
             to = static_cast<std::int64_t>(std::ceil(right / step)) + 1;
  first_ = static_cast<double>(from) * step;
  last_ = static_cast<double>(to - 1) * step;
  if (to - from <= kDense) return append(from, to);
  const auto near = static_cast<std::int64_t>((reach + inverse) / step);
  double floor = -kInfinity;
  for (const double s : {high, inverse, 1.0, -1.0}) floor = std::max(floor, log_term(s, excess));
  floor += log_step_ - 45;
  append(from, std::min(near, to));
  if (near < to - kBlock) select(near, to - kBlock, excess, floor);
  if (near < to) append(std::max(near, to - kBlock), to);
}

NodeSum MixtureNodes::sum(double excess) const {
  const Columns<const double> columns{log_weight_.data(), weight_.data(), loss_.data(),
                                      reverse_.data(),    fixed_.data(),  per_order_.data()};
  const Sums sums = sum_columns(columns, loss_.size(), excess);
  const std::size_t i = last_index_;
  const double last = scaled_exp_remainder(log_weight_[i], excess * loss_[i]) + excess * reverse_[i];
  const double adds = static_cast<double>(loss_.size() / simd::kLanes + 8);
  return {sums.value, sums.fixed + (excess + 1) * sums.per_order + adds * sums.value, last};
}

LogNodeSum MixtureNodes::log_sum(double excess) const {
  double top = -kInfinity;
  for (std::size_t i = 0; i < loss_.size(); ++i) top = std::max(top, log_weight_[i] + excess * loss_[i]);
  double total = 0, rounding = 0;
  for (std::size_t i = 0; i < loss_.size(); ++i) {
    const double term = std::exp(log_weight_[i] + excess * loss_[i] - top);
    total += term;
    if (term > 0) rounding = std::max(rounding, fixed_[i] + (excess + 1) * per_order_[i]);
  }
  return {top + std::log(total), rounding + 8 * std::abs(top) + static_cast<double>(loss_.size()) + 64,
          log_weight_[last_index_] + excess * loss_[last_index_]};
}

}  // namespace dpflash::accounting
