// The lower law where its ends and supports are hardest: singular ends in many bins, steep and wide bins, exchanged
// tables; and the lower composed curve where its two factors leave the range of a double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "closed_form/one_step.hpp"
#include "lattice/composition_run.hpp"
#include "lattice/pilot.hpp"
#include "lattice/read_off.hpp"
#include "lattice/step_table.hpp"

using namespace dpflash::accounting;

namespace {

constexpr double kU = 0x1p-53;

// Hockey-stick curve of a law at `gap` right of node `j`, from sums of positive terms.
long double curve_at(const LatticeLaw& law, long j, long double gap) {
  long double sum = law.infinity;
  const auto h = static_cast<long double>(law.spacing);
  for (std::size_t i = 0; i < law.mass.size(); ++i) {
    const long ahead = static_cast<long>(i) - j;
    const long double away = ahead > 0 ? static_cast<long double>(ahead - 1) * h + (h - gap) : ahead * h - gap;
    if (away > 0) sum += law.mass[i] * -std::expm1(-away);
  }
  return sum;
}

// The largest relative excess of the lower law over the exact one-step curve, at nodes, middles and thirds of bins.
double excess(const Step& step, double spacing, LossRange range, Direction direction) {
  StepTable made = step_table(step, spacing, range, 1000000);
  const double reach = std::abs(made.table.start) + static_cast<double>(made.table.bins()) * spacing;
  if (direction == Direction::add) made.table = made.table.exchanged();
  const LatticeLaw law = lower_law(made.table);
  CHECK(std::all_of(law.mass.begin(), law.mass.end(), [](double m) { return m >= 0; }));
  const auto bins = static_cast<long>(made.table.bins());
  double worst = -1;
  for (long j = -1; j < bins; j += std::max(1L, j < 40 || j > bins - 40 ? 1 : bins / 60)) {
    for (const double part : {1e-4, 1.0 / 3, 0.5, 0.9}) {
      const double level = law.start + (static_cast<double>(j) + part) * spacing;
      const Interval truth = one_step_delta(step, direction, level);
      const double moved = made.loss_error + 16 * kU * reach;
      const auto low = static_cast<double>(curve_at(law, j, part * spacing + moved));
      worst = std::max(worst, (low - truth.upper) / std::max(truth.upper, 1e-280));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("lower laws stay below the exact curve at singular ends, on steep densities and in wide bins") {
  for (const double sigma : {0.06, 0.3, 1.0, 8.0}) {
    for (const double rate : {1e-8, 1e-3, 0.4, 0.97}) {
      const double top = std::log1p(rate * std::expm1(std::min(300.0, (0.5 + 6 * sigma) / (sigma * sigma))));
      for (const double spacing : {top / 3000, top / 100, top / 9, std::min(20.0, 1.3 + top / 5)}) {
        for (const Direction direction : {Direction::remove, Direction::add}) {
          CAPTURE(sigma);
          CAPTURE(rate);
          CAPTURE(spacing);
          CAPTURE(direction == Direction::remove);
          CHECK(excess(SampledGaussianStep{sigma, rate}, std::min(20.0, spacing), {-1e300, top}, direction) <= 1e-12);
        }
      }
    }
  }
}

TEST_CASE("lower laws stay below the curve of random atoms, steep or not, with or without cells") {
  struct Atom {
    long bin;
    long double from_left, p;
  };
  std::mt19937_64 random(20);
  const auto uniform = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
  for (int trial = 0; trial < 1500; ++trial) {
    BinTable table;
    table.spacing = trial % 2 == 0 ? std::pow(10.0, -6 + 7.3 * uniform()) : std::pow(10.0, -22 + 20 * uniform());
    const long bins = 4 + static_cast<long>(random() % (trial % 3 == 0 ? 80 : 12));
    table.resize(static_cast<std::size_t>(bins));
    const double slope = (uniform() - 0.5) * std::pow(10.0, 2 * uniform()), hole = trial % 3 == 0 ? uniform() : 0;
    std::vector<Atom> atoms;
    for (long j = 0; j < bins; ++j) {
      if (uniform() < hole) continue;
      for (int i = 0; i < 3; ++i) {
        const double share = random() % 4 == 0 ? std::pow(10.0, -12 * uniform()) : uniform();
        const double at = (random() % 2 == 0 ? share : 1 - share) * table.spacing;
        const double p = std::exp(std::clamp(-slope * static_cast<double>(j), -500.0, 500.0));
        table.add_atom_at(static_cast<std::size_t>(j), at, p, 8 * kU);
        atoms.push_back({j, at, p});
      }
    }
    const auto h = static_cast<long double>(table.spacing);
    if (random() % 2 == 0) {  // the left cell
      const double below = table.spacing * std::pow(10.0, 2 * uniform() - 1), p = 10 * uniform();
      table.left_p = p;
      table.left_fall = p * std::expm1(below);
      atoms.push_back({0, -below, p});
    }
    if (random() % 2 == 0) {  // the right cell; its rise may be an upper bound
      const double above = table.spacing * std::pow(10.0, 2 * uniform() - 1);
      const double p = std::exp(std::clamp(-slope * static_cast<double>(bins), -500.0, 500.0)) * uniform();
      table.right_p = p;
      table.right_rise = random() % 2 == 0 ? p : -p * std::expm1(-above);
      atoms.push_back({bins, above, p});
    }
    table.cell_error = 8 * kU;
    const LatticeLaw law = lower_law(table);
    double worst = -1;
    for (int i = 0; i < 25; ++i) {
      const long j = static_cast<long>(random() % static_cast<unsigned>(bins + 1));
      const long double gap = (i % 3 == 0 ? 0.5L : static_cast<long double>(uniform())) * h;
      long double truth = 0;
      for (const Atom& a : atoms) {
        const long double away = a.bin > j ? static_cast<long double>(a.bin - j - 1) * h + ((h - gap) + a.from_left)
                                           : static_cast<long double>(a.bin - j) * h + (a.from_left - gap);
        if (away > 0) truth += a.p * -std::expm1(-away);
      }
      const long double low = curve_at(law, j, gap);
      worst = std::max(worst, static_cast<double>((low - truth) / std::max(truth, 1e-280L)));
    }
    CAPTURE(trial);
    CHECK(worst <= 1e-15);
  }
}

TEST_CASE("an exchanged table's losses are displaced by no more than is charged for it") {
  std::mt19937_64 random(3);
  const auto uniform = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
  for (int trial = 0; trial < 200; ++trial) {
    BinTable table;
    table.start = -uniform();
    table.spacing = std::pow(10.0, -9 * uniform());
    table.resize(4 + random() % 1000);
    table.left_p = 1;
    const BinTable out = table.exchanged();
    const double reach = std::abs(table.start) + static_cast<double>(table.bins()) * table.spacing;
    for (std::size_t j = 0; j <= table.bins(); j += 3) {
      const long double before = table.start + static_cast<long double>(j) * table.spacing;
      const long double after = out.start + static_cast<long double>(table.bins() - j) * table.spacing;
      CHECK(std::abs(static_cast<double>(before + after)) <= 4 * kU * reach);
    }
  }
}

TEST_CASE("composed curves keep to their sides where one factor overflows and the other underflows") {
  // two atoms of untilted mass e^{-a} and e^{-b}
  for (const double theta : {0.5, 3.0, 40.0}) {
    for (const double start : {-400.0, -3.0, 0.0, 200.0}) {
      const double h = 0.25;
      const std::size_t n = 900, first = 300, second = 860;
      const double at_first = start + h * static_cast<double>(first),
                   at_second = start + h * static_cast<double>(second);
      const double scale = theta * at_first - 0.5;  // the first atom has mass e^{-1/2}
      Composed composed;
      composed.law.start = start;
      composed.law.spacing = h;
      composed.law.theta = theta;
      composed.law.log_scale = scale;
      composed.law.log_scale_error = 64 * kU * (1 + std::abs(scale));
      composed.outside = 1e-30;  // what a transform always charges keeps the upper side's sums from underflow
      composed.law.mass.assign(n, 0.0);
      composed.law.mass[first] = 1;
      composed.law.mass[second] = 1e-9;
      const ComposedCurve low(composed, Side::lower), up(composed, Side::upper);
      const double far = std::exp(std::log(1e-9) + scale - theta * at_second), near = std::exp(-0.5);
      for (double level = start - 50; level < start + h * static_cast<double>(n); level += 3.3) {
        const double truth =
            near * std::max(0.0, -std::expm1(level - at_first)) + far * std::max(0.0, -std::expm1(level - at_second));
        CAPTURE(theta);
        CAPTURE(start);
        CAPTURE(level);
        const double slack = 1e-11 * truth + 1e-300;
        CHECK(low.delta(level) <= truth + slack);
        CHECK(up.delta(level) >= truth - slack);
        CHECK(low.delta(level) >= 0);
      }
    }
  }
}

TEST_CASE("an exchanged table's displacement is charged to its masses too") {
  const Composition plan{
      .phases = {{ApproximateStep{29.077633727035757, 3.6933442242772222e-05, 0.56166645461078446}, 1}},
      .symmetric = false};
  const Pilot pilot(plan, Direction::add, 1e-30);
  const auto tables = step_tables(plan, Direction::add, pilot, 1.101141703032912, 1e-10, INFINITY, 1 << 20);
  const LatticeLaw lower = lower_law(tables.front().table), upper = upper_law(tables.front().table);
  long double below = lower.infinity, above = upper.infinity;
  for (const double m : lower.mass) below += m;
  for (const double m : upper.mass) above += m;
  CHECK(below <= 1);
  CHECK(above >= 1);
}
