// Grid draws: every probability against the exact one, by finding the bits at which the implemented function steps.
#include "draw/grid_normal.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "chi_square.hpp"
#include "dpflash/noise/source.hpp"
#include "draw/chacha.hpp"
#include "draw/draws.hpp"
#include "draw/kernels.hpp"
#include "draw/philox.hpp"

using namespace dpflash;
using Real = boost::multiprecision::cpp_bin_float_quad;
using Bits192 = boost::multiprecision::uint256_t;

namespace {

constexpr double kScale = 65536;
/// The proven bound of the error of a draw before rounding, relative; docs/math/grid-mechanism.md, section 3.
constexpr double kKappa = 6 * 0x1p-53;

/// Upper tail of the normal law, relative error below 1e-25: quadrature of no kind, but the series near 0 and Lentz's
/// continued fraction beyond 2.
Real upper_tail(const Real& z) {
  const Real density = exp(-z * z / 2) / sqrt(2 * boost::math::constants::pi<Real>());
  if (z < 2) {
    Real term = z;
    Real sum = z;
    for (int n = 1; n < 400; ++n) {
      term *= z * z / (2 * n + 1);
      sum += term;
      if (term < sum * Real(1e-34)) break;
    }
    return Real(0.5) - density * sum;
  }
  Real tail = 0;
  for (int n = 1500; n >= 1; --n) tail = n / (z + tail);
  return density / (z + tail);
}

std::int32_t draw_of(const Bits192& n, double scale) {
  // The 191-bit number v 2^128 + e.
  const auto v = static_cast<std::uint64_t>(n >> 128);
  const auto e1 = static_cast<std::uint64_t>((n >> 64) & ~std::uint64_t{0});
  const auto e0 = static_cast<std::uint64_t>(n & ~std::uint64_t{0});
  const draw::Tail tail = draw::needs_refill(v) ? draw::tail_of(v, e1, e0) : draw::tail_of(v);
  return draw::grid_normal_of(tail, v, scale);
}

/// Bits in which the draw falls: one unit is 2^-191 of the probability of a modulus.
struct Step {
  Bits192 low;   ///< the draw is at least k here and, as far as probed, below
  Bits192 high;  ///< and below k here, and above
};

/// Numbers that give the same draw because only their first 63 bits are read.
Bits192 width_at(const Bits192& n) {
  return draw::needs_refill(static_cast<std::uint64_t>(n >> 128)) ? Bits192(1) : Bits192(1) << 128;
}

Bits192 cell_of(const Bits192& n) { return n / width_at(n) * width_at(n); }

/// Where the draw steps below k, by bisection, with all steps back and forth that 400 probes near it find.
Step step_below(std::int32_t k, double scale) {
  Bits192 low = 0;
  Bits192 high = (Bits192(1) << 191) - 1;
  while (high - low > 1) {
    const Bits192 middle = (low + high) >> 1;
    if (draw_of(middle, scale) >= k)
      low = middle;
    else
      high = middle;
  }
  Step step{low, high};
  std::mt19937_64 random(static_cast<std::uint64_t>(k));
  for (int i = 0; i < 400; ++i) {
    // Up to 2^-46 of the number away: 128 u, far beyond the error of the function.
    const Bits192 away = (low >> (46 + i % 16)) * (random() >> 32) >> 32;
    if (low > away && draw_of(low - away, scale) < k) step.low = std::min(step.low, cell_of(low - away));
    if (draw_of(high + away, scale) >= k)
      step.high = std::max(step.high, Bits192(cell_of(high + away) + width_at(high)));
  }
  return step;
}

Real probability_of(const Bits192& n) { return ldexp(Real(n), -191); }

}  // namespace

TEST_CASE("the tail function of this test is right") {
  // mpmath, 40 digits.
  CHECK(abs(upper_tail(Real(1)) / Real("0.1586552539314570514147674543679620775221") - 1) < 1e-25);
  CHECK(abs(upper_tail(Real(5)) / Real("2.866515718791939116737523329463687744838e-7") - 1) < 1e-25);
  CHECK(abs(upper_tail(Real(14)) / Real("7.793536819192800254359681838895086135558e-45") - 1) < 1e-25);
}

TEST_CASE("steps lie where the normal law has them, within the proven error, and so do the probabilities") {
  std::vector<std::int32_t> cells;
  for (std::int32_t k = 1; k < 200; ++k) cells.push_back(k);
  for (std::int32_t k = 200; k < 14 * 65536; k += 3001) cells.push_back(k);
  // Joints: w = 6.25, s = 4 and 6.5, the refill threshold.
  for (const double z : {3.3, 5.42, 8.99, 4.7634})
    for (std::int32_t j = -8; j < 8; ++j) cells.push_back(static_cast<std::int32_t>(z * kScale) + 37 * j);
  double worst = 0;
  double worst_cell = 0;
  for (const std::int32_t k : cells) {
    const Real at = Real(k - 0.5) / kScale;
    const Step step = step_below(k, kScale);
    const Step next = step_below(k + 1, kScale);
    const Real expected = 2 * upper_tail(at);
    const Real beyond = 2 * upper_tail(at + 1 / kScale);
    // Error of the step in units of the grid's number z, relative.
    const Real slope = 2 * exp(-at * at / 2) / sqrt(2 * boost::math::constants::pi<Real>());
    const double unit = width_at(step.high) == 1 ? 0x1p-190 : 0x1p-64;
    for (const Bits192& edge : {step.low, step.high}) {
      const double off = static_cast<double>((abs(probability_of(edge) - expected) - unit) / (slope * at));
      worst = std::max(worst, off);
      INFO("k = ", k);
      REQUIRE(off <= kKappa);
    }
    const Real cell = expected - beyond;
    const Real most = probability_of(step.high) - probability_of(next.low);
    const Real least = probability_of(step.low) - probability_of(next.high);
    const auto error = static_cast<double>(std::max(abs(most - cell), abs(least - cell)) / cell);
    const double bound = 2.02 * kKappa * (k + 1) + 2 * unit / static_cast<double>(cell);
    worst_cell = std::max(worst_cell, error / bound);
    REQUIRE(error <= bound);
    REQUIRE(error <= 1.5e-9);
  }
  MESSAGE("largest error of a step, in u: ", worst * 0x1p53, "; of a probability, of its bound: ", worst_cell);
}

TEST_CASE("draws fall as the bits grow, and have no gaps, near the joints of the polynomials") {
  for (const double z : {0.001, 0.5, 1.0, 3.298, 3.3, 4.7634, 5.42, 8.99}) {
    const auto k = static_cast<std::int32_t>(z * kScale);
    Bits192 n = step_below(k + 40, kScale).low;
    const Bits192 end = step_below(std::max(k - 40, 1), kScale).high;
    const Bits192 stride = (end - n) / 20000;
    std::int32_t before = draw_of(n, kScale);
    std::int32_t seen = 0;
    for (; n < end; n += stride) {
      const std::int32_t now = draw_of(n, kScale);
      REQUIRE(now <= before);
      REQUIRE(before - now <= 1);
      seen += before - now;
      before = now;
    }
    CHECK(seen >= std::min(78, k + 38));
  }
}

TEST_CASE("forced words reach beyond 11 standard deviations, and the signs mirror") {
  const std::uint64_t zero = 0;
  CHECK(draw::needs_refill(zero));
  CHECK(draw::grid_normal_of(draw::tail_of(0, 0, 0), 0, kScale) > 15.9 * kScale);
  CHECK(draw::grid_normal_of(draw::tail_of(0, 0, 0), 0, kScale) < 16.5 * kScale);
  // 2^-128 of the tail: beyond 13.
  CHECK(draw::grid_normal_of(draw::tail_of(0, 1, 0), 0, kScale) > 13 * kScale);
  const std::uint64_t sign = std::uint64_t{1} << 63;
  for (const std::uint64_t v : {std::uint64_t{1} << 44, std::uint64_t{1} << 60, (sign - 1), sign / 3})
    CHECK(draw::grid_normal_of(draw::tail_of(v), v, kScale) ==
          -draw::grid_normal_of(draw::tail_of(v | sign), v | sign, kScale));
  CHECK(draw::grid_normal_of(draw::tail_of(sign - 1), sign - 1, kScale) == 0);
  CHECK(draw::grid_normal_of(draw::tail_of(0, 5, 5), sign, kScale) ==
        -draw::grid_normal_of(draw::tail_of(0, 5, 5), 0, kScale));
}

TEST_CASE("addresses of grid draws are a bijection that deals pairs to lanes") {
  const auto check = [](auto source) {
    constexpr int words = decltype(source)::words;
    for (std::uint64_t i = 0; i < 4096; ++i) {
      const draw::Address at = draw::grid_address_of<words>(i);
      CHECK(at.word + 1 < words);
      CHECK(draw::grid_index_of<words>(at.block, at.word) == i);
      const draw::RefillAddress refill = draw::grid_refill_of<words>(at.word);
      CHECK((refill.refill == 1 || refill.refill == 2));
      CHECK(refill.word + 4 <= words);
      CHECK(at.block == i / (16 * words) * 32 + i % 64 / 2);
    }
  };
  check(draw::Philox{});
  check(draw::ChaCha<20>{});
}

TEST_CASE("the host's grid draws: generic and AVX2 alike, from the words that the address names") {
  const noise::kernels::Run run{{{1, 2, 3, 4, 5, 6, 7, 8}}, 9, 10, 77};
  for (const auto bits :
       {noise::kernels::Bits::philox, noise::kernels::Bits::chacha12, noise::kernels::Bits::chacha20}) {
    std::vector<std::int64_t> a(700001), b(700001);
    noise::kernels::generic::grid_fill_of(bits)(run, kScale, a.data(), a.size());
    noise::kernels::grid_fill_of(bits)(run, kScale, b.data(), b.size());
    CHECK(a == b);
  }
  std::vector<std::int64_t> some(1000);
  noise::kernels::grid_fill_of(noise::kernels::Bits::chacha20)(run, kScale, some.data(), some.size());
  for (std::uint64_t i = 0; i < some.size(); ++i) {
    const draw::Address at = draw::grid_address_of<16>(77 + i);
    std::uint32_t x[16];
    draw::ChaCha<20>::block(run.key, draw::counter_of(at.block, draw::Use::grid_normal, 0, 10, 9), x);
    const std::uint64_t word = draw::grid_bits(x[at.word], x[at.word + 1]);
    CHECK(some[i] == draw::grid_normal_of(draw::tail_of(word), word, kScale));
  }
}

TEST_CASE("grid draws follow the rounded normal law") {
  const auto source = noise::NoiseSource::reproducible(noise::Generator::chacha12, 21);
  std::vector<std::int64_t> draws(2000000);
  noise::draw_grid(source, 8, {}, draws);
  CHECK(test::chi_square_fits(draws, [](std::int64_t k) {
    const double s = 256 * std::sqrt(2.0);
    const auto m = static_cast<double>(std::abs(k));
    return 0.5 * (std::erfc((m - 0.5) / s) - std::erfc((m + 0.5) / s));
  }));
  CHECK(test::variance_fits(draws, 65536 + 1.0 / 12, 2));
}
