#include "lattice/other_tables.hpp"

#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <vector>

#include "lattice/table_parts.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

constexpr double kInvSqrt2Pi = 0.398942280401432677939946059934;

struct Atom {
  double loss;
  double p;
};

StepTable table_of_atoms(const std::vector<Atom>& atoms, double spacing, std::size_t max_bins, double atom_error) {
  double low = kInfinity, high = -kInfinity;
  for (const Atom& a : atoms) {
    low = std::min(low, a.loss);
    high = std::max(high, a.loss);
  }
  StepTable out;
  out.table.start = low;
  out.table.spacing = spacing;
  // the tiny excess keeps a last atom that should lie on a node from falling just outside
  out.table.resize(checked_bins(std::ceil((high - low) / spacing + 1e-9), max_bins));
  out.loss_error = 16 * kUnit * (std::abs(low) + std::abs(high));
  out.table.cell_error = atom_error;
  for (const Atom& a : atoms) {
    // an atom within rounding of a node is put there, and the displacement charged to the losses
    const double node = std::round((a.loss - low) / spacing), away = std::abs(a.loss - low - node * spacing);
    if (away <= 1e-12 * spacing + 8 * kUnit * (std::abs(low) + std::abs(high))) {
      out.table.node_atoms.push_back({static_cast<std::size_t>(node), a.p});
      out.loss_error += away;
    } else {
      out.table.add_atom(a.loss, a.p, atom_error);
    }
  }
  return out;
}

// ln(1 - q + q e^loss)
double sampled_loss(double loss, double rate) {
  if (rate == 1) return loss;
  if (loss > 30) return loss + std::log(rate) + std::log1p((1 - rate) / rate * std::exp(-loss));
  const double change = rate * std::expm1(loss);
  // near -1 log1p would magnify the change's error
  return change > -0.5 ? std::log1p(change) : std::log((1 - rate) + rate * std::exp(loss));
}

// The density between the two atoms of a Laplace pair, in half-bins of the excess loss y = L - ln(1-q).
class LaplaceHalfBins {
 public:
  LaplaceHalfBins(const LaplaceStep& step, double low)
      : b_(step.scale),
        q_(step.rate),
        low_(low),
        log_odds_(q_ == 1 ? 0 : std::log(q_) - std::log1p(-q_)),
        lift_(q_ == 1 ? 0 : std::exp(log_odds_ - 1 / step.scale)) {}

  // Half-bin from z to z + width above the lower atom, which lies at x = 0.
  void fill(HalfBins& out, std::size_t i, double z, double width) const {
    const double from = i == 0 ? 0 : point(z), to = point(z + width);
    const double a = std::max(0.0, from), e = std::min(1.0, to);
    const bool clipped = a != from || e != to;
    // a sliver next to an atom, no wider than rounding, is part of that atom's error
    if (!(e > a) || (clipped && e - a < 64 * slack())) return;
    const double rest = q_ == 1 ? 1 : 1 / (1 + std::exp(-log_excess(z)));
    const double s = clipped ? (e - a) / b_ : 0.5 * std::log1p(std::expm1(width) / rest);
    const double hit = 0.5 * q_ * std::exp((a - 1) / b_);  // q times b times the hit density at a
    const double grow = std::expm1(s), shrink = -std::expm1(-s);
    out.rise[i] = hit * (grow * shrink + shrink * -std::expm1(-2 * (a - from) / b_));
    out.fall[i] = hit * (grow * grow + std::exp(2 * s) * shrink * std::expm1(2 * (to - e) / b_));
    out.q_mass[i] = 0.5 * std::exp(low_ + z - a / b_) * shrink;
    out.error[i] = kUnit * (128 + 8 / b_) + slack() / b_ + (clipped ? slack() / (e - a) : 0.0);
  }

  // Error of a point x.
  [[nodiscard]] double slack() const { return 16 * kUnit * (4 + b_ * (1 + 3 * std::abs(log_odds_))); }

 private:
  // ln(e^y - 1), y = L - ln(1-q), by positive terms: e^y - 1 = lift e^z + (e^z - 1)
  [[nodiscard]] double log_excess(double z) const { return z + std::log(lift_ - std::expm1(-z)); }
  [[nodiscard]] double point(double z) const {
    return q_ == 1 ? 0.5 * b_ * z : 0.5 + 0.5 * b_ * (log_excess(z) - log_odds_);
  }

  const double b_, q_, low_, log_odds_, lift_;
};

// Half-bins of the two sampled Gaussians, relative to the left end of each so that no loss difference cancels.
class ReplaceHalfBins {
 public:
  explicit ReplaceHalfBins(const ReplaceSampledGaussianStep& s)
      : sigma_(s.sigma), q_(s.rate), variance_(s.sigma * s.sigma), log_c_(std::log(s.rate) - 0.5 / variance_) {}

  [[nodiscard]] double point(double loss) const {
    if (loss < 0) return -point(-loss);
    const double half = 0.5 * (1 - q_) * std::expm1(std::min(loss, 700.0));
    const double root = half + std::hypot(half, std::exp(0.5 * std::min(loss, 700.0) + log_c_));
    return variance_ * (std::log(root) - log_c_);
  }

  void fill(HalfBins& out, std::size_t i, double loss, double width) const {
    const Part left = from_left_end(loss, width);
    // the pair exchanged is the pair mirrored: what falls to the right end is what rises from it there
    const Part right = from_left_end(-(loss + width), width);
    out.rise[i] = left.rise;
    out.fall[i] = std::exp(loss + width) * right.rise;
    out.q_mass[i] = left.q_mass;
    out.error[i] = std::max(left.error, right.error) + 4 * kUnit * (1 + std::abs(loss));
  }

  // Masses of P and Q beyond x on the right.
  [[nodiscard]] double p_right(double x) const {
    return (1 - q_) * upper_tail(x / sigma_) + q_ * upper_tail((x - 1) / sigma_);
  }
  [[nodiscard]] double q_right(double x) const {
    return (1 - q_) * upper_tail(x / sigma_) + q_ * upper_tail((x + 1) / sigma_);
  }

 private:
  struct Part {
    double rise = 0, q_mass = 0, error = 0;
  };

  // Everything relative to the left end, where 1 - e^{left - L} = (up E - down E') / (1 + up E), E = e^v - 1, E' = e^-v
  // - 1.
  [[nodiscard]] Part from_left_end(double loss, double width) const {
    const double x = point(loss);
    const double up = share(x), down = share(-x), k = std::expm1(width);
    const double b = up + down - k * (1 - down), root = std::sqrt(b * b + 4 * up * k);
    // the quadratic for e^end keeps relative accuracy of narrow bins; wide ones, where b cancels, come from their ends
    const bool wide = b < 0.5 * (up + down);
    const double end = wide ? (point(loss + width) - x) / variance_ : std::log1p(2 * k / (b + root));
    const double far = 60 * sigma_, x_end = x + variance_ * end;
    if (x > far || x_end < -far) return {};
    const double reach = std::max(std::abs(x), std::abs(x_end)) + std::max(1.0, sigma_);
    const auto panels = static_cast<std::size_t>(std::ceil(std::max(1.0, end * reach / kExtent8)));
    const double step = end / static_cast<double>(panels), density = log_density(x);
    Part out;
    for (std::size_t p = 0; p < panels; ++p) {
      for (const RuleNode& r : kRule8) {
        const double v = (static_cast<double>(p) + r.node) * step;
        const double e = r.weight * step * std::exp(-v * (x + 0.5 * variance_ * v) + density);
        const double shrunk = -std::expm1(-v);
        out.q_mass += e * (1 - down * shrunk);
        out.rise += e * (up * std::expm1(v) + down * shrunk);
      }
    }
    const double z = std::abs(x) / sigma_ + 1;
    const double shift = 16 * kUnit * (variance_ * (2 + std::abs(loss) + 2 * std::abs(log_c_)) + std::abs(x));
    out.error = kUnit * (256 + 8 * z * z + 8 / variance_) + ((std::abs(x) + 2) / variance_ + end) * shift;
    if (wide) out.error += 2 * shift / (variance_ * end);
    return out;
  }

  // q lambda / (1 - q + q lambda) at x
  [[nodiscard]] double share(double x) const { return 1 / (1 + std::exp(std::log1p(-q_) - log_c_ - x / variance_)); }
  // ln of sigma^2 times the density of P at x
  [[nodiscard]] double log_density(double x) const {
    const double z = x / sigma_;
    return std::log(kInvSqrt2Pi * sigma_) - 0.5 * z * z + sampled_loss((2 * x - 1) / (2 * variance_), q_);
  }

  const double sigma_, q_, variance_, log_c_;
};

}  // namespace

StepTable laplace_table(const LaplaceStep& step, double spacing, std::size_t max_bins) {
  const double top = 1 / step.scale, q = step.rate;
  const double low = sampled_loss(-top, q), high = sampled_loss(top, q);
  const LaplaceHalfBins density(step, low);
  const double slack = density.slack();
  // P-masses of {x <= 0} and {x >= 1}
  const double miss = std::exp(-top);
  StepTable out = table_of_atoms({{low, 0.5 * ((1 - q) + q * miss)}, {high, 0.5 * (q + (1 - q) * miss)}}, spacing,
                                 max_bins, 32 * kUnit + 65 * slack / step.scale);
  HalfBins halves;
  const std::size_t count = 2 * out.table.bins();
  for (auto* column : {&halves.rise, &halves.fall, &halves.q_mass, &halves.error}) column->assign(count, 0.0);
  for (std::size_t i = 0; i < count; ++i) {
    density.fill(halves, i, static_cast<double>(i) * 0.5 * spacing, 0.5 * spacing);
  }
  BinTable part;
  part.start = out.table.start;
  part.spacing = spacing;
  part.resize(out.table.bins());
  fill_from_halves(part, halves);
  for (std::size_t j = 0; j < part.bins(); ++j) {
    out.table.whole_rise[j] += part.whole_rise[j];
    out.table.whole_fall[j] += part.whole_fall[j];
    out.table.half_rise[j] += part.half_rise[j];
    out.table.half_fall[j] += part.half_fall[j];
    out.table.error[j] = std::max(out.table.error[j], part.error[j]);
  }
  return out;
}

StepTable approximate_table(const ApproximateStep& step, double spacing, std::size_t max_bins) {
  const double q = step.rate, e = step.epsilon, d = step.delta;
  const double hit = (1 - d) / (1 + std::exp(-e)), miss = (1 - d) / (1 + std::exp(e));  // P- and Q-mass at +e
  const double high = sampled_loss(e, q), low = sampled_loss(-e, q);
  std::vector<Atom> atoms{{low, q * miss + (1 - q) * hit}, {high, q * hit + (1 - q) * miss}};
  if (q < 1 && d > 0) atoms.push_back({std::log1p(-q), (1 - q) * d});
  StepTable out = table_of_atoms(atoms, spacing, max_bins, 32 * kUnit);
  out.table.infinity = q * d;
  out.table.q_only = q < 1 ? 0 : d;
  return out;
}

StepTable replace_table(const ReplaceSampledGaussianStep& step, double spacing, LossRange range, std::size_t max_bins) {
  if (step.sigma < kReplaceSigmaMin)
    throw NotComputable("replace-one with sampling needs a noise multiplier of at least 0.06 on the lattice");
  const ReplaceHalfBins half_bins(step);
  const double steps = std::ceil(-range.low / spacing);
  StepTable out;
  out.table.start = -steps * spacing;
  out.table.spacing = spacing;
  const std::size_t bins = checked_bins(std::ceil(range.high / spacing) + steps, max_bins);
  out.table.resize(bins);
  HalfBins halves;
  for (auto* column : {&halves.rise, &halves.fall, &halves.q_mass, &halves.error}) column->assign(2 * bins, 0.0);
  for (std::size_t i = 0; i < 2 * bins; ++i) {
    half_bins.fill(halves, i, (static_cast<double>(i) - 2 * steps) * 0.5 * spacing, 0.5 * spacing);
  }
  fill_from_halves(out.table, halves);
  BinTable& t = out.table;
  const double last = t.start + static_cast<double>(bins) * spacing, x1 = half_bins.point(last),
               x0 = half_bins.point(t.start);
  t.right_p = half_bins.p_right(x1);
  t.right_q = half_bins.q_right(x1);
  t.right_rise = t.right_p;
  t.left_p = half_bins.q_right(-x0);
  t.left_q = half_bins.p_right(-x0);
  t.left_fall = t.left_q * std::exp(t.start);
  const double z = (std::max(std::abs(x0), std::abs(x1)) + 1) / step.sigma;
  t.cell_error = kUnit * (64 + 8 * z * z) * (1 + 16 * step.sigma * step.sigma);
  out.loss_error = kUnit * 4 * (steps + static_cast<double>(bins)) * spacing;
  return out;
}

}  // namespace dpflash::accounting
