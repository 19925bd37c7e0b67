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

namespace {

// Share of what lies beyond that a support in the middle of a bin may cost.
constexpr double kSteep = 0.5;

// Values of a bin, rounded either way.
struct Rounded {
  const BinTable& table;
  [[nodiscard]] double over(double v, std::size_t j) const { return v * (1 + table.error[j] + kSumError); }
  [[nodiscard]] double under(double v, std::size_t j) const {
    return v * std::max(0.0, 1 - table.error[j] - kSumError);
  }
  [[nodiscard]] double mass(std::size_t j) const {
    return table.whole_rise[j] / -std::expm1(-table.spacing) + table.whole_fall[j] / std::expm1(table.spacing);
  }
};

// How far each bin's supporting line lies under the curve at its ends, rounded up. It touches in the bin's middle; or,
// where the density falls (rises) so fast that this would cost much of what lies beyond, at its right (left) end.
struct Supports {
  std::vector<double> left, right;

  explicit Supports(const BinTable& t) : left(t.half_rise), right(t.half_fall) {
    const Rounded r{t};
    const double grow = std::expm1(t.spacing), shrink = std::exp(-t.spacing), share = -std::expm1(-t.spacing);
    double rise = t.right_rise, p = t.right_p;  // int (dP - e^{ell} dQ) and P-mass right of the bin
    for (std::size_t j = t.bins(); j-- > 0;) {
      if (t.half_fall[j] > kSteep * rise) {
        left[j] = t.whole_rise[j];
        right[j] = 0;
      }
      rise = t.whole_rise[j] + shrink * rise + share * p;
      p += r.mass(j);
    }
    double fall = t.left_fall;  // int (e^{ell} dQ - dP) left of the bin
    p = t.left_p;
    for (std::size_t j = 0; j < t.bins(); ++j) {
      if (t.spacing <= 1 && right[j] > 0 && t.half_rise[j] > kSteep * fall) {
        left[j] = 0;
        right[j] = t.whole_fall[j];
      }
      fall = t.whole_fall[j] + fall * (1 + grow) + p * grow;
      p += r.mass(j);
      left[j] = r.over(left[j], j);
      right[j] = r.over(right[j], j);
    }
  }
  // what the lines on both sides of an inner node ask for
  [[nodiscard]] double drop(std::size_t j) const { return std::max(right[j - 1], left[j]); }
};

// All that lies at or below a node J: where the lower law begins.
struct LeftEnd {
  std::size_t node = 0;
  double p = 0;          // P-mass, rounded down
  double drop = 0;       // d_J
  double support_right;  // of the bin to the right, whose line was chosen with it
};

// A merged end may ask for this many times what the tangent next to it does before its kink eats into the law.
constexpr double kWideKink = 6;
// Cost of a kink at a node (second order in the spacing) against that of invented Q-mass (first order).
constexpr double kKink = 0.1;

// The node at which the line of the merged left end and the tangent of the bin to the right agree best; or node 0
// without the left cell. Where the tangent asks for more than the line, Q-mass is invented.
LeftEnd left_end(const BinTable& t, const Supports& supports, std::size_t last) {
  const Rounded r{t};
  const double grow = std::expm1(t.spacing);
  // P-mass below the node, and int (e^{ell_J} dQ - dP) there, rounded up
  double p = t.left_p * (1 - t.cell_error), p_up = t.left_p * (1 + t.cell_error);
  double fall = t.left_fall * (1 + t.cell_error);
  const auto cost = [](double excess) { return excess > 0 ? kKink * excess : -excess; };
  // node 0 without the left cell; a line through it meets the next bin's at node 1
  LeftEnd best{0, 0, supports.left[0], supports.right[0]};
  double least = kInfinity;
  if (supports.left[0] > 0) {
    least = supports.left[0];
  } else if (t.whole_fall[0] > 0) {
    least = cost(supports.right[0] - supports.left[1]);
  }
  for (std::size_t j = 0; j <= last; ++j) {
    const auto attempt = [&](double tangent, double support_right) {
      if (!(tangent > 0) || fall > kWideKink * tangent || cost(fall - tangent) >= least) return;
      least = cost(fall - tangent);
      best = {j, p, std::max(fall, tangent), support_right};
    };
    attempt(supports.left[j], supports.right[j]);
    attempt(r.over(t.half_rise[j], j), r.over(t.half_fall[j], j));
    attempt(r.over(t.whole_rise[j], j), 0);
    if (kKink * (fall - r.over(t.whole_rise[j], j)) > least) break;
    fall = (r.over(t.whole_fall[j], j) + fall * (1 + grow) + p_up * grow) * (1 + kSumError);
    p_up = (p_up + r.over(r.mass(j), j)) * (1 + kSumError);
    p = (p + r.under(r.mass(j), j)) * (1 - kSumError);
  }
  return best;
}

// All that lies above a node N: where the lower law ends.
struct RightEnd {
  std::size_t node = 0;
  double p = 0;                      // P-mass, rounded down
  double rise_low = 0, rise_up = 0;  // bounds of int (dP - e^{ell_N} dQ)
  bool kinked = false;               // d_N is that integral; else its mass is first moved left to the node
  double support_left = 0;           // of the bin to the left, if kinked, whose line was chosen with it
};

// Mass at the last node N, rounded down; `drop` is d of the node before.
double last_mass(const BinTable& t, const RightEnd& end, double drop) {
  const double c1 = 1 / std::expm1(t.spacing), c2 = -1 / std::expm1(-t.spacing);
  const double rise = Rounded{t}.under(t.whole_rise[end.node - 1], end.node - 1);
  return (end.p + c2 * rise + c1 * end.rise_low) * (1 - kSumError) - c2 * drop * (1 + kSumError);
}

// The mirror image of left_end, for steps whose losses end above. Where the integral beyond the node is no less than
// the last bin's tangent asks for, the curve ends in a kink; elsewhere in the chord of what was moved to the node.
RightEnd right_end(const BinTable& t, const Supports& supports) {
  const Rounded r{t};
  const double shrink = std::exp(-t.spacing), share = -std::expm1(-t.spacing);
  RightEnd now;
  now.node = t.bins();
  now.p = t.right_p * (1 - t.cell_error);
  now.rise_up = t.right_rise * (1 + t.cell_error);
  RightEnd best = now;
  double p_up = t.right_p * (1 + t.cell_error), least = kInfinity;
  for (; now.node >= 4; --now.node) {
    const std::size_t last = now.node - 1;
    const double rise = r.under(t.whole_rise[last], last), most = r.over(t.whole_rise[last], last);
    const bool trivial = now.rise_up == 0 && t.whole_rise[last] == 0;  // the same as ending one node before
    const auto attempt = [&](double left, double right) {
      double cost = 0;
      if (right > now.rise_low) {  // mixed with the line through the right end, which asks for nothing there
        const double mix = now.rise_low / right;
        cost = (1 - mix) * (most - left);
        left = (mix * left + (1 - mix) * most) * (1 + kSumError);
        right = now.rise_low;
      }
      cost += kKink * (now.rise_up - right);
      if (trivial || now.rise_up > kWideKink * right || cost >= least) return;
      if (last_mass(t, now, std::max(supports.right[last - 1], left)) < 0) return;
      least = cost;
      best = now;
      best.kinked = true;
      best.support_left = left;
    };
    attempt(supports.left[last], supports.right[last]);
    attempt(r.over(t.half_rise[last], last), r.over(t.half_fall[last], last));
    if (t.spacing <= 1) attempt(0, r.over(t.whole_fall[last], last));
    const double chord = now.rise_up + t.whole_rise[last];
    RightEnd moved = now;
    moved.rise_low = 0;
    // the chord itself asks for whole_rise at the node before
    const double before = supports.right[last - 1];
    if (!trivial && chord < least && (rise >= before || last_mass(t, moved, std::max(before, most)) >= 0)) {
      least = chord;
      best = moved;
    }
    if (kKink * (now.rise_up - r.over(t.whole_fall[last], last)) > least) break;
    now.rise_low = (rise + shrink * now.rise_low + share * now.p) * (1 - kSumError);
    now.rise_up = (most + shrink * now.rise_up + share * p_up) * (1 + kSumError);
    now.p = (now.p + r.under(r.mass(last), last)) * (1 - kSumError);
    p_up = (p_up + r.over(r.mass(last), last)) * (1 + kSumError);
  }
  return best;
}

// The tangent law between its ends.
std::vector<double> tangent_masses(const BinTable& table) {
  const double c1 = 1 / std::expm1(table.spacing), c2 = -1 / std::expm1(-table.spacing);
  const Rounded r{table};
  Supports supports(table);
  const RightEnd right = right_end(table, supports);
  const std::size_t n = right.node;
  if (right.kinked) supports.left[n - 1] = right.support_left;
  // d_j: how far the curve lies under the pair's at node j. The same, rounded down where it enters with plus: the two
  // differ only where d is an integral, known to its error.
  std::vector<double> drop(n + 1, 0.0);
  const LeftEnd left = left_end(table, supports, n - 3);
  supports.right[left.node] = left.support_right;
  drop[left.node] = left.drop;
  for (std::size_t j = left.node + 1; j < n; ++j) drop[j] = supports.drop(j);
  double low_pin = drop[n - 1];
  double last;
  const double rise = table.whole_rise[n - 1];
  if (right.kinked) {
    drop[n] = right.rise_up;
    last = last_mass(table, right, drop[n - 1]);
  } else if (r.under(rise, n - 1) >= supports.right[n - 2]) {
    // pinned to the chord that ends in the tail: d is whole_rise (the support never asks for more)
    low_pin = r.under(rise, n - 1);
    drop[n - 1] = r.over(rise, n - 1);
    last = right.p * (1 - kSumError);
  } else {
    low_pin = drop[n - 1] = std::max(drop[n - 1], r.over(rise, n - 1));
    last = last_mass(table, right, drop[n - 1]);
  }
  std::vector<double> mass(n + 1, 0.0);
  for (std::size_t j = left.node; j < n; ++j) {
    const double own = j == n - 1 ? low_pin : drop[j];
    double plus = c1 * (r.under(table.whole_fall[j], j) + own);
    double minus = c1 * drop[j + 1];
    if (j > left.node) {
      plus += c2 * (r.under(table.whole_rise[j - 1], j - 1) + own);
      minus += c2 * drop[j - 1];
    } else {
      plus += left.p + own;
    }
    mass[j] = plus * (1 - kSumError) - minus * (1 + kSumError);
  }
  mass[n] = last;
  lower_hull(mass, table.spacing);
  return mass;
}

// Every bin's P-mass at its left node: first order, but without the large cancelling terms of bins wider than one.
std::vector<double> floor_masses(const BinTable& table) {
  const double c1 = 1 / std::expm1(table.spacing), c2 = -1 / std::expm1(-table.spacing);
  std::vector<double> mass(table.bins() + 1);
  for (std::size_t j = 0; j < table.bins(); ++j) {
    mass[j] = (table.whole_rise[j] * c2 + table.whole_fall[j] * c1) * std::max(0.0, 1 - table.error[j] - 2 * kSumError);
  }
  mass.back() = table.right_p * (1 - table.cell_error);
  return mass;
}

double first_moment(const std::vector<double>& mass) {
  double sum = 0;
  for (std::size_t i = 0; i < mass.size(); ++i) sum += mass[i] * static_cast<double>(i);
  return sum;
}

}  // namespace

LatticeLaw lower_law(const BinTable& table) {
  LatticeLaw law{table.start, table.spacing, {}, table.infinity * (1 - table.cell_error)};
  if (table.bins() >= 4) law.mass = tangent_masses(table);
  if (table.spacing > 1) {
    std::vector<double> floor = floor_masses(table);
    if (first_moment(floor) > first_moment(law.mass)) law.mass = std::move(floor);
  }
  for (const BinTable::NodeAtom& a : table.node_atoms) {
    if (law.mass.empty()) break;
    if (a.node >= law.mass.size()) law.mass.resize(a.node + 1, 0.0);
    law.mass[a.node] += a.p * (1 - table.cell_error - kSumError);
  }
  return law;
}

}  // namespace dpflash::accounting
