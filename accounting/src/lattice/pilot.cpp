#include "lattice/pilot.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lattice/gaussian_bins.hpp"
#include "lattice/table_parts.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

constexpr double kInvSqrt2Pi = 0.398942280401432677939946059934;

struct Node {
  double loss, p, q;
};

void add_uniform(std::vector<double>& xs, double low, double high, int count) {
  for (int i = 0; i <= count; ++i) xs.push_back(low + (high - low) * i / count);
}

// Nodes of P and Q on the line: both bells, and the place where the loss turns from one to the other.
std::vector<Node> gaussian_nodes(double sigma, double rate, bool replace, double reach) {
  std::vector<double> xs;
  const double r = std::max(9.5, reach) * sigma;
  add_uniform(xs, replace ? -1 - r : -r, replace ? 1 + r : r, 240);
  add_uniform(xs, 1 - r, 1 + r, 240);
  if (sigma < 0.7) {
    const double turn = 0.5 + sigma * sigma * (std::log1p(-rate) - std::log(rate));
    for (const double at : {turn, 1.0 + 0.0 * turn})
      add_uniform(xs, at - 25 * sigma * sigma, at + 25 * sigma * sigma, 100);
    if (replace) add_uniform(xs, -turn - 25 * sigma * sigma, -turn + 25 * sigma * sigma, 100);
  }
  std::sort(xs.begin(), xs.end());
  std::vector<Node> out;
  const GaussianPair pair{sigma, rate};
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const double before = i > 0 ? xs[i - 1] : xs[i], after = i + 1 < xs.size() ? xs[i + 1] : xs[i];
    const double w = 0.5 * (after - before) * kInvSqrt2Pi / sigma;
    const auto bell = [&](double at) { return w * std::exp(-0.5 * (xs[i] - at) * (xs[i] - at) / (sigma * sigma)); };
    const double hit = rate * bell(1), miss = (1 - rate) * bell(0);
    if (replace) {
      out.push_back({pair.excess(xs[i]) - pair.excess(-xs[i]), miss + hit, miss + rate * bell(-1)});
    } else {
      out.push_back({pair.excess(xs[i]), miss + hit, bell(0)});
    }
  }
  return out;
}

double sampled(double loss, double rate) {
  return rate == 1 ? loss : loss > 30 ? loss + std::log(rate) : std::log1p(rate * std::expm1(loss));
}

class StepNodes {
 public:
  StepNodes(Direction direction, double tail, PilotStep& out) : direction_(direction), tail_(tail), out_(out) {}

  void operator()(const GaussianStep& s) {
    const double reach = std::max(9.5, normal_tail_point(tail_));
    for (int i = 0; i <= 300; ++i) {
      const double z = -reach + 2 * reach * i / 300;
      const double w = 2 * reach / 300 * kInvSqrt2Pi * std::exp(-0.5 * z * z);
      put(s.mu * z + 0.5 * s.mu * s.mu, w, 1);
    }
  }
  void operator()(const SampledGaussianStep& s) {
    out_.anchored = true;
    out_.end_above = direction_ == Direction::add;
    const double lowest = std::log1p(-s.rate), sign = direction_ == Direction::remove ? 1 : -1;
    out_.lowest = sign * lowest;
    const double reach = normal_tail_point(direction_ == Direction::remove ? tail_ / s.rate : tail_);
    for (const Node& n : gaussian_nodes(s.sigma, s.rate, false, reach)) put(sign * n.loss, sign > 0 ? n.p : n.q, 1);
  }
  void operator()(const ReplaceSampledGaussianStep& s) {
    for (const Node& n : gaussian_nodes(s.sigma, s.rate, true, normal_tail_point(tail_))) put(n.loss, n.p, 1);
  }
  void operator()(const LaplaceStep& s) {
    const double rough = s.rate == 1 ? 0 : 1, top = 1 / s.scale;
    atom(sampled(-top, s.rate), 0.5, rough);
    atom(sampled(top, s.rate), 0.5 * std::exp(-top), rough);
    for (int i = 0; i < 200; ++i) {
      const double x = (i + 0.5) / 200;
      atom(sampled((2 * x - 1) * top, s.rate), std::exp(-x * top) * 0.5 * top / 200, 1);
    }
  }
  void operator()(const ApproximateStep& s) {
    const double q = s.rate, rough = q == 1 ? 0 : 1;
    atom(sampled(s.epsilon, q), (1 - s.delta) / (1 + std::exp(s.epsilon)), rough);
    atom(sampled(-s.epsilon, q), (1 - s.delta) / (1 + std::exp(-s.epsilon)), rough);
    if (q < 1 && s.delta > 0) atom(std::log1p(-q), s.delta, rough);
    out_.infinity = direction_ == Direction::remove ? q * s.delta : q == 1 ? s.delta : 0;
  }

 private:
  void put(double offset, double weight, double rough) {
    out_.offset.push_back(offset);
    out_.weight.push_back(weight);
    out_.roughness.push_back(rough);
  }
  // an atom of Q-mass q at `loss`
  void atom(double loss, double q, double rough) {
    if (direction_ == Direction::remove) {
      put(loss, q * std::exp(loss), rough);
    } else {
      put(-loss, q, rough);
    }
  }

  Direction direction_;
  double tail_;
  PilotStep& out_;
};

}  // namespace

double normal_tail_point(double mass) {
  if (!(mass < 0.5)) return 0;
  double low = 0, high = 38;
  for (int i = 0; i < 50; ++i) {
    const double middle = 0.5 * (low + high);
    (upper_tail(middle) > mass ? low : high) = middle;
  }
  return high;
}

Pilot::Pilot(const Composition& composition, Direction direction, double tail, double cut) {
  double log_finite = 0;
  for (const Phase& phase : composition.phases) {
    PilotStep step;
    step.count = static_cast<double>(phase.count);
    std::visit(StepNodes(direction, tail, step), phase.step);
    // the rule misses total mass by more than some counts forgive
    double total = 0;
    for (const double w : step.weight) total += w;
    // a node without mass must go: its tilt may overflow
    PilotStep kept = step;
    kept.offset.clear();
    kept.weight.clear();
    kept.roughness.clear();
    for (std::size_t i = 0; i < step.weight.size(); ++i) {
      if (!(step.weight[i] > 0) || step.lowest + step.offset[i] > cut) continue;
      kept.offset.push_back(step.offset[i]);
      kept.weight.push_back(step.weight[i] * (1 - step.infinity) / total);
      kept.roughness.push_back(step.roughness[i]);
    }
    log_finite += step.count * std::log1p(-step.infinity);
    steps_.push_back(std::move(kept));
  }
  infinity_ = -std::expm1(log_finite);
}

Cumulants Pilot::cumulants(double theta) const {
  Cumulants total{0, 0, 0};
  for (const PilotStep& s : steps_) {
    double peak = -kInfinity;
    for (const double offset : s.offset) peak = std::max(peak, theta * offset);
    double sum = 0, first = 0, second = 0;
    for (std::size_t i = 0; i < s.offset.size(); ++i) {
      const double e = s.weight[i] * std::exp(theta * s.offset[i] - peak);
      sum += e;
      first += e * s.offset[i];
      second += e * s.offset[i] * s.offset[i];
    }
    if (!(sum > 0)) continue;
    first /= sum;
    second = std::max(0.0, second / sum - first * first);
    total.value += s.count * (std::log(sum) + peak + theta * s.lowest);
    total.slope += s.count * (first + s.lowest);
    total.curvature += s.count * second;
  }
  return total;
}

void Pilot::settle(double theta) {
  const Cumulants c = cumulants(theta);
  theta_ = theta;
  mean_ = c.slope;
  epsilon_ = c.slope - 1 / theta - 1 / (theta + 1);
  const double spread = c.curvature + 1 / (theta * theta) + 1 / ((theta + 1) * (theta + 1));
  log_delta_ =
      c.value - theta * epsilon_ - std::log(theta) - std::log1p(theta) - 0.5 * std::log(2 * std::numbers::pi * spread);
  deviation_ = std::sqrt(c.curvature);
}

// Halves until theta is known to a thousandth and the aim is met about; where the tilted law flips from the bulk to
// rare large losses the last digits of theta decide.
template <class TooSmall, class Met>
void Pilot::search(const TooSmall& too_small, const Met& met) {
  double low = std::log(1e-9), high = std::log(1e15);
  for (int i = 0; i < 52; ++i) {
    const double middle = 0.5 * (low + high);
    settle(std::exp(middle));
    if (high - low < 1e-3 && met()) return;
    (too_small() ? low : high) = middle;
  }
  settle(std::exp(0.5 * (low + high)));
}

void Pilot::aim_at_epsilon(double epsilon) {
  search([&] { return epsilon_ < epsilon; }, [&] { return std::abs(epsilon_ - epsilon) * theta_ < 0.1; });
}

void Pilot::aim_at_delta(double delta) {
  const double target = std::log(std::max(1e-320, delta - infinity_));
  search([&] { return epsilon_ < 0 || log_delta_ > target; },
         [&] { return epsilon_ >= 0 && std::abs(log_delta_ - target) < 0.1; });
}

double Pilot::core() const {
  double core = kInfinity;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    double low, high;
    tilted_range(i, 0.25, low, high);
    core = std::min(core, high - low);
  }
  return core;
}

Pilot::Roughness Pilot::roughness() const {
  Roughness out;
  for (const PilotStep& s : steps_) {
    double peak = -kInfinity, sum = 0;
    for (const double offset : s.offset) peak = std::max(peak, theta_ * offset);
    const std::size_t first = out.y.size();
    double plain = 0;
    for (std::size_t i = 0; i < s.offset.size(); ++i) {
      const double e = s.weight[i] * std::exp(theta_ * s.offset[i] - peak);
      sum += e;
      if (!(e * s.roughness[i] > 0)) continue;
      if (s.anchored) {
        out.y.push_back(std::abs(s.offset[i]));
        out.weight.push_back(e * s.roughness[i]);
      } else {
        plain += e * s.roughness[i];
      }
    }
    for (std::size_t i = first; i < out.y.size(); ++i) out.weight[i] *= s.count / sum;
    out.plain += plain * s.count / sum;
  }
  return out;
}

double Pilot::width_at(const Roughness& rough, double h) const {
  double width = rough.plain * h * h / 6;
  for (std::size_t i = 0; i < rough.y.size(); ++i) {
    const double y = rough.y[i];
    width += rough.weight[i] * (y < 0.5 * h ? 2 * y * (h - y) : h * h / 6);
  }
  return 0.75 * (theta_ + 1) * width;
}

double Pilot::spacing_for(double target) const {
  const Roughness rough = roughness();
  double low = std::log(1e-22), high = std::log(20.0);
  for (int i = 0; i < 48; ++i) {
    const double middle = 0.5 * (low + high);
    (width_at(rough, std::exp(middle)) > target ? high : low) = middle;
  }
  return std::exp(low);
}

void Pilot::tilted_range(std::size_t phase, double tail, double& low, double& high) const {
  const PilotStep& s = steps_[phase];
  std::vector<std::pair<double, double>> nodes;
  double peak = -kInfinity, sum = 0;
  for (const double offset : s.offset) peak = std::max(peak, theta_ * offset);
  for (std::size_t i = 0; i < s.offset.size(); ++i) {
    nodes.emplace_back(s.offset[i], s.weight[i] * std::exp(theta_ * s.offset[i] - peak));
    sum += nodes.back().second;
  }
  std::sort(nodes.begin(), nodes.end());
  std::size_t a = 0, b = nodes.size() - 1;
  for (double mass = 0; a < b && (mass += nodes[a].second) < tail * sum;) ++a;
  for (double mass = 0; b > a && (mass += nodes[b].second) < tail * sum;) --b;
  low = s.lowest + nodes[a > 0 ? a - 1 : 0].first;
  high = s.lowest + nodes[std::min(b + 1, nodes.size() - 1)].first;
}

}  // namespace dpflash::accounting
