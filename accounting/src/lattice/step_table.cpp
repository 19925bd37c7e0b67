#include "lattice/step_table.hpp"

#include <algorithm>
#include <cmath>

#include "lattice/other_tables.hpp"
#include "lattice/table_parts.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// Excess loss y at which a node should lie: the merged loss m of {L <= t} for the t with y_t - m = spacing / 2, so that
// the tangent at t passes through (e^m, 1 - e^m); or with y_t - m = spacing where so little lies beyond that the lower
// law's support touches there. Any value is valid; this one is tight.
class Anchor {
 public:
  Anchor(const GaussianPair& pair, double spacing, double x_low)
      : pair_(pair), odds_(pair.rate / (1 - pair.rate)), spacing_(spacing), x_low_(x_low) {}

  [[nodiscard]] double node() const {
    const double middle = touching(0.5 * spacing_), m = merged(middle);
    const double end = pair_.point(m + spacing_), grow = std::expm1(m + spacing_);
    const double beyond = odds_ * hit(end) - grow * miss(end);
    const double fall = grow * (miss(middle) - miss(end)) - odds_ * (hit(middle) - hit(end));
    return fall > 0.5 * beyond ? merged(touching(spacing_)) : m;
  }

 private:
  [[nodiscard]] double miss(double x) const { return upper_tail(x / pair_.sigma); }
  [[nodiscard]] double hit(double x) const { return upper_tail((x - 1) / pair_.sigma); }
  [[nodiscard]] double merged(double x) const {
    const double b = miss(-x);
    return b > 0 ? std::log1p(odds_ * upper_tail((1 - x) / pair_.sigma) / b) : 0.0;
  }
  // The point t at `distance` above its merged loss.
  [[nodiscard]] double touching(double distance) const {
    double a = x_low_, b = pair_.point(2 * distance);
    if (!(b > a) || pair_.excess(a) - merged(a) >= distance) return a;
    for (int i = 0; i < 80 && pair_.excess(b) - merged(b) < distance; ++i) b += pair_.sigma;
    for (int i = 0; i < 60; ++i) {
      const double middle = 0.5 * (a + b);
      (pair_.excess(middle) - merged(middle) < distance ? a : b) = middle;
    }
    return b;
  }

  const GaussianPair& pair_;
  double odds_, spacing_, x_low_;
};

void set_right_cell(BinTable& table, const GaussianPair& pair, double y_end) {
  const double x = pair.point(y_end), q = pair.rate;
  const double b = upper_tail(x / pair.sigma), c = upper_tail((x - 1) / pair.sigma);
  table.right_q = b;
  table.right_p = (1 - q) * b + q * c;
  table.right_rise = table.right_p;  // e^{ell} Q subtracted only where it does not cancel: an upper bound either way
  const double kept = std::exp(table.start + static_cast<double>(table.bins()) * table.spacing) * b;
  if (kept < 0.5 * table.right_p) table.right_rise -= kept;
  const double z = std::max(std::abs(x), std::abs(x - 1)) / pair.sigma;
  const double slack =
      kUnit * (64 + 12 * z * z + 64 * pair.sigma * z * (1 + std::abs(y_end) + 2 * std::abs(std::log(q))));
  table.cell_error = std::max(table.cell_error, slack);
}

void set_left_cell(BinTable& table, const GaussianPair& pair, double y_start) {
  if (!pair.plain() && y_start <= 0) return;
  const double x = pair.point(y_start), q = pair.rate;
  const double b = upper_tail(-x / pair.sigma), c = upper_tail((1 - x) / pair.sigma);
  table.left_q = b;
  table.left_p = (1 - q) * b + q * c;
  table.left_fall = gaussian_left_fall(pair, x);
  const double z = std::max(std::abs(x), std::abs(x - 1)) / pair.sigma;
  const double slack =
      kUnit * (256 + 12 * z * z + 64 * pair.sigma * z * (1 + std::abs(y_start) + 2 * std::abs(std::log(q))));
  table.cell_error = std::max(table.cell_error, slack);
}

StepTable gaussian_table(const GaussianPair& pair, double spacing, LossRange range, std::size_t max_bins) {
  const double lowest = pair.plain() ? 0 : std::log1p(-pair.rate);
  double y_start = range.low - lowest;
  if (!pair.plain()) {
    const double x_low = -14 * pair.sigma;
    y_start = std::max(y_start, pair.excess(x_low));
    if (y_start <= 2 * spacing) {
      const double node = Anchor(pair, spacing, x_low).node();
      y_start = node - std::ceil(node / spacing) * spacing;
    }
  }
  const std::size_t bins = checked_bins(std::ceil((range.high - lowest - y_start) / spacing), max_bins);
  StepTable out;
  out.table.start = lowest + y_start;
  out.table.spacing = spacing;
  out.table.resize(bins);
  fill_from_halves(out.table, gaussian_half_bins(pair, y_start, 0.5 * spacing, 2 * bins));
  set_right_cell(out.table, pair, y_start + static_cast<double>(bins) * spacing);
  set_left_cell(out.table, pair, y_start);
  out.loss_error = 4 * kUnit * (std::abs(lowest) + std::abs(y_start));
  return out;
}

}  // namespace

StepTable step_table(const Step& step, double spacing, LossRange range, std::size_t max_bins) {
  if (const auto* g = std::get_if<GaussianStep>(&step)) return gaussian_table({1 / g->mu, 1}, spacing, range, max_bins);
  if (const auto* s = std::get_if<SampledGaussianStep>(&step)) {
    return gaussian_table({s->sigma, s->rate}, spacing, range, max_bins);
  }
  if (const auto* l = std::get_if<LaplaceStep>(&step)) return laplace_table(*l, spacing, max_bins);
  if (const auto* a = std::get_if<ApproximateStep>(&step)) return approximate_table(*a, spacing, max_bins);
  return replace_table(std::get<ReplaceSampledGaussianStep>(step), spacing, range, max_bins);
}

}  // namespace dpflash::accounting
