#include "lattice/jump_law.hpp"

#include <algorithm>
#include <cmath>

#include "lattice/pilot.hpp"
#include "lattice/table_parts.hpp"
#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// Cells of one stretch of the jump law at most.
constexpr double kMostCells = 24000;

// P-mass above a point that was computed of an excess loss, rounded up.
double p_above(const GaussianPair& pair, double x) {
  const double b = upper_tail(x / pair.sigma), c = upper_tail((x - 1) / pair.sigma);
  const double z = std::max(std::abs(x), std::abs(x - 1)) / pair.sigma, log_rate = std::abs(std::log(pair.rate));
  const double slack = kUnit * (256 + 16 * z * z + 128 * (1 + pair.sigma) * (1 + z) * (2 + z / pair.sigma + log_rate));
  return ((1 - pair.rate) * b + pair.rate * c) * (1 + slack);
}

// Ends of the cells, in excess loss.
std::vector<double> cell_ends(const GaussianPair& pair, const Layout& layout) {
  const double first = pair.point(layout.cut_upper), sigma = pair.sigma;
  const double last = std::max({first + sigma, 1 + sigma * normal_tail_point(0.5 * layout.tail / pair.rate),
                                sigma * normal_tail_point(0.5 * layout.tail)});
  std::vector<double> ends{layout.cut_upper};
  const auto add = [&](double from, double to, double step) {
    if (!(to > from)) return;
    const double cells = std::ceil(std::clamp((to - from) / step, 1.0, kMostCells));
    for (double i = 1; i <= cells; ++i) ends.push_back(pair.excess(from + (to - from) * i / cells));
  };
  const double from = std::clamp(layout.from, first, last), to = std::clamp(layout.to, from, last);
  add(first, from, std::max(layout.dense, (from - first) / 400));
  add(from, to, layout.dense);
  add(to, last, std::max(layout.dense, (last - to) / 200));
  ends.push_back(layout.cut_lower);
  std::sort(ends.begin(), ends.end());
  return ends;
}

}  // namespace

double decay(const GaussianPair& pair, double x) {
  const double variance = pair.sigma * pair.sigma;
  const double hit = pair.rate / (1 - pair.rate) * std::exp(std::min(700.0, (x - 0.5) / variance));
  return (x - hit / (1 + hit)) / variance;
}

JumpLaw jump_law(const GaussianPair& pair, const Layout& layout) {
  JumpLaw law;
  const double lowest = std::log1p(-pair.rate);
  const std::vector<double> ends = cell_ends(pair, layout);
  law.mass = p_above(pair, pair.point(ends.front()));
  law.slack = 16 * kUnit * std::abs(lowest);
  law.cells.reserve(ends.size());
  double from = ends.front();
  for (std::size_t i = 1; i < ends.size(); ++i) {
    const double to = ends[i], width = to - from;
    if (!(width > 64 * kUnit * to)) continue;  // the next one takes this one's place too
    const GaussianBin bin = gaussian_bin(pair, from, to);
    const double to_right = bin.rise / -std::expm1(-width), to_left = bin.fall / std::expm1(width),
                 p = to_left + to_right;
    // widths are differences of relatively exact losses
    const double error = bin.error + 64 * kUnit * (to / width + 1);
    if (p > 0) {
      const double merged = from - std::log1p(-std::min(bin.rise / p * (1 - error), 1 - kUnit));
      law.cells.push_back({lowest + from, lowest + to, to_left * (1 + error), to_right * (1 + error),
                           from >= layout.cut_lower ? p * std::max(0.0, 1 - error) : 0,
                           lowest + std::clamp(merged, from, to)});
    }
    from = to;
  }
  law.beyond = p_above(pair, pair.point(from));
  return law;
}

}  // namespace dpflash::accounting
