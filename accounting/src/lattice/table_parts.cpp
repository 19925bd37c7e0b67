#include "lattice/table_parts.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "special/rounding.hpp"

namespace dpflash::accounting {

double upper_tail(double x) { return 0.5 * std::erfc(x * std::numbers::sqrt2 / 2); }

std::size_t checked_bins(double bins, std::size_t max_bins) {
  if (!(bins <= static_cast<double>(max_bins))) throw TooLong(bins / static_cast<double>(max_bins));
  return static_cast<std::size_t>(std::max(4.0, bins));
}

void fill_from_halves(BinTable& table, const HalfBins& halves) {
  const double hh = 0.5 * table.spacing;
  const double from_left = -std::expm1(-hh), from_right = std::expm1(hh) * std::exp(hh);
  for (std::size_t j = 0; j < table.bins(); ++j) {
    const std::size_t a = 2 * j, b = a + 1;
    table.half_rise[j] = halves.rise[a];
    table.half_fall[j] = halves.fall[b];
    table.whole_rise[j] = halves.rise[a] + halves.rise[b] + from_left * halves.q_mass[b];
    table.whole_fall[j] = halves.fall[b] + halves.fall[a] + from_right * halves.q_mass[a];
    table.error[j] = std::max(halves.error[a], halves.error[b]) + 8 * kUnit;
  }
}

}  // namespace dpflash::accounting
