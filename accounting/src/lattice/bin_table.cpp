#include "lattice/bin_table.hpp"

#include <algorithm>
#include <cmath>

#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

// Rounding of a handful of sums and products of positive terms, beyond the table's own error.
constexpr double kSumError = 16 * kUnit;

// Adds a negative mass, rounded down.
void absorb(double& mass, double negative) {
  mass += negative * (1 + kSumError);
  mass -= 2 * kUnit * std::abs(mass);
}

// Cuts the curve off at the largest node b below which it only falls by that: with S(a) = sum_{j > b} p_j (1 - a /
// a_j), linear in a, both S(0) >= 0 and S(a_b) >= 0. Used when the last atom is negative; atoms before it are not.
void drop_right_end(std::vector<double>& mass, double spacing) {
  const double shrink = std::exp(-spacing), grow = -std::expm1(-spacing);
  // S(0) and S(a_b) of the dropped atoms, and the same of their magnitudes, against which the signs must be certain
  double at_zero = 0, at_node = 0, zero_size = 0, node_size = 0;
  for (std::size_t b = mass.size(); b-- > 0;) {
    if (b + 1 < mass.size()) {
      at_node = shrink * at_node + grow * at_zero;
      node_size = shrink * node_size + grow * zero_size;
      if (at_zero >= 1e-10 * zero_size && at_node >= 1e-10 * node_size) return;
    }
    at_zero += mass[b];
    zero_size += std::abs(mass[b]);
    mass[b] = 0;
  }
}

// Replaces every negative atom by two on its neighbours with the same P- and Q-mass: a chord under a concave kink, so
// the curve only falls. A negative first atom moves right, which lowers the curve too. The last atom must not be
// negative.
void lower_hull(std::vector<double>& mass, double spacing) {
  const auto n = static_cast<std::ptrdiff_t>(mass.size());
  if (std::none_of(mass.begin(), mass.end(), [](double m) { return m < 0; })) return;
  std::vector<std::ptrdiff_t> next(mass.size()), previous(mass.size());
  for (std::ptrdiff_t j = 0; j < n; ++j) {
    next[static_cast<std::size_t>(j)] = j + 1;
    previous[static_cast<std::size_t>(j)] = j - 1;
  }
  const auto at = [](std::ptrdiff_t j) { return static_cast<std::size_t>(j); };
  for (std::ptrdiff_t j = 0; j < n;) {
    if (mass[at(j)] >= 0) {
      j = next[at(j)];
      continue;
    }
    const std::ptrdiff_t a = previous[at(j)], c = next[at(j)];
    const double m = mass[at(j)];
    mass[at(j)] = 0;
    if (a >= 0) next[at(a)] = c;
    if (c < n) previous[at(c)] = a;
    if (c >= n) {  // no node to the right: see drop_right_end
      mass[at(j)] = m;
      drop_right_end(mass, spacing);
      return;
    }
    if (a < 0) {
      absorb(mass[at(c)], m);
      j = c;
      continue;
    }
    const double right =
        std::expm1(-static_cast<double>(j - a) * spacing) / std::expm1(-static_cast<double>(c - a) * spacing);
    absorb(mass[at(c)], m * right);
    absorb(mass[at(a)], m * (1 - right));
    j = mass[at(a)] < 0 ? a : c;
  }
}

}  // namespace

void BinTable::resize(std::size_t bins) {
  for (auto* v : {&whole_rise, &whole_fall, &half_rise, &half_fall, &error}) v->assign(bins, 0.0);
}

void BinTable::add_atom(double loss, double p, double relative_error) {
  const auto last = static_cast<double>(bins() - 1);
  const double position = std::clamp(std::floor((loss - start) / spacing), 0.0, last);
  add_atom_at(static_cast<std::size_t>(position), std::clamp(loss - (start + position * spacing), 0.0, spacing), p,
              relative_error);
}

void BinTable::add_atom_at(std::size_t j, double from_left, double p, double relative_error) {
  const double from_right = spacing - from_left;
  const double rise = -p * std::expm1(-from_left);
  const double fall = p * std::expm1(from_right);
  whole_rise[j] += rise;
  whole_fall[j] += fall;
  // an atom at the middle may count to either half: tangents there are not unique, both support the curve
  if (from_left <= from_right) {
    half_rise[j] += rise;
  } else {
    half_fall[j] += fall;
  }
  error[j] = std::max(error[j], relative_error);
}

BinTable BinTable::exchanged() const {
  BinTable out;
  const std::size_t n = bins();
  out.resize(n);
  out.start = -(start + static_cast<double>(n) * spacing);
  out.spacing = spacing;
  for (std::size_t j = 0; j < n; ++j) {
    const double left = start + static_cast<double>(j) * spacing;
    const double at_left = std::exp(-left), at_right = std::exp(-(left + spacing));
    const std::size_t i = n - 1 - j;
    out.whole_rise[i] = at_right * whole_fall[j];
    out.whole_fall[i] = at_left * whole_rise[j];
    out.half_rise[i] = at_right * half_fall[j];
    out.half_fall[i] = at_left * half_rise[j];
    out.error[i] = error[j] + kUnit * (8 + 2 * std::abs(left) + 2 * spacing);
  }
  out.left_p = right_q;
  out.left_q = right_p;
  out.left_fall = std::exp(out.start) * right_rise;
  out.right_p = left_q;
  out.right_q = left_p;
  out.right_rise = std::exp(-start) * left_fall;
  out.infinity = q_only;
  out.q_only = infinity;
  for (const NodeAtom& a : node_atoms) {
    out.node_atoms.push_back({n - a.node, a.p * std::exp(-(start + static_cast<double>(a.node) * spacing))});
  }
  out.cell_error = cell_error + kUnit * (8 + 2 * std::abs(start) + 2 * std::abs(out.start));
  return out;
}

LatticeLaw upper_law(const BinTable& t) {
  const std::size_t n = t.bins();
  LatticeLaw law{t.start, t.spacing, std::vector<double>(n + 1, 0.0), 0};
  const double to_left = 1 / std::expm1(t.spacing), to_right = -1 / std::expm1(-t.spacing);
  for (std::size_t j = 0; j < n; ++j) {
    const double inflate = 1 + t.error[j] + kSumError;
    law.mass[j] += inflate * t.whole_fall[j] * to_left;
    law.mass[j + 1] += inflate * t.whole_rise[j] * to_right;
  }
  const double inflate = 1 + t.cell_error + kSumError;
  law.mass[0] += inflate * t.left_p;
  for (const BinTable::NodeAtom& a : t.node_atoms) law.mass[a.node] += inflate * a.p;
  // the right cell keeps both masses: a part at its left end, the rest at +infinity; or all at +infinity
  const double kept = std::exp(t.start + static_cast<double>(n) * t.spacing) * t.right_q;
  if (std::isfinite(kept)) {
    law.mass[n] += inflate * kept;
    law.infinity = inflate * (t.right_rise + t.infinity);
  } else {
    law.infinity = inflate * (t.right_p + t.infinity);
  }
  return law;
}

LatticeLaw lower_law(const BinTable& table) {
  LatticeLaw law{table.start, table.spacing, {}, table.infinity * (1 - table.cell_error)};
  const double c1 = 1 / std::expm1(table.spacing), c2 = -1 / std::expm1(-table.spacing);
  // P-mass right of the current last node, rounded down to it.
  double tail = table.right_p * (1 - table.cell_error);
  for (std::size_t n = table.bins(); n >= 4; --n) {
    std::vector<double> drop(n + 1, 0.0);  // d_j: how far the curve lies under the pair's at node j
    const auto over = [&](double v, std::size_t j) { return v * (1 + table.error[j] + kSumError); };
    const auto under = [&](double v, std::size_t j) { return v * std::max(0.0, 1 - table.error[j] - kSumError); };
    for (std::size_t j = 1; j < n; ++j)
      drop[j] = std::max(over(table.half_fall[j - 1], j - 1), over(table.half_rise[j], j));
    if (table.half_rise[0] > 0) drop[1] = std::max(drop[1], over(table.whole_fall[0], 0));
    // At the last inner node the curve may be pinned to the chord that ends in the tail: d is then exactly whole_rise,
    // known only to its error, so that it is rounded by the sign with which it enters.
    // half_rise never exceeds whole_rise, so only the neighbour's half_fall can ask for more.
    const bool pinned = under(table.whole_rise[n - 1], n - 1) >= over(table.half_fall[n - 2], n - 2);
    const double low_pin =
        pinned ? under(table.whole_rise[n - 1], n - 1) : std::max(drop[n - 1], over(table.whole_rise[n - 1], n - 1));
    drop[n - 1] = pinned ? over(table.whole_rise[n - 1], n - 1) : low_pin;
    const double last = pinned ? tail : tail + c2 * (under(table.whole_rise[n - 1], n - 1) - drop[n - 1]);
    if (last < 0) {  // the density falls too fast for this bin: round its mass down to its left node
      tail += under(table.whole_rise[n - 1] * c2 + table.whole_fall[n - 1] * c1, n - 1) * (1 - kSumError);
      continue;
    }
    law.mass.assign(n + 1, 0.0);
    for (std::size_t j = 0; j < n; ++j) {
      const double own = j == n - 1 ? low_pin : drop[j];
      double plus = c1 * (under(table.whole_fall[j], j) + own);
      double minus = c1 * drop[j + 1];
      if (j > 0) {
        plus += c2 * (under(table.whole_rise[j - 1], j - 1) + own);
        minus += c2 * drop[j - 1];
      }
      law.mass[j] = plus * (1 - kSumError) - minus * (1 + kSumError);
    }
    law.mass[n] = last * (1 - kSumError);
    lower_hull(law.mass, table.spacing);
    for (const BinTable::NodeAtom& a : table.node_atoms) {  // beyond the last node: rounded down to it
      law.mass[std::min(a.node, n)] += a.p * (1 - table.cell_error - kSumError);
    }
    return law;
  }
  return law;
}

}  // namespace dpflash::accounting
