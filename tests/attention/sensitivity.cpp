// The analyser against independent values, brute force, and corners.
#include "dpflash/attention/sensitivity.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "analysis/row_factor.hpp"
#include "sensitivity_cases.hpp"
#include "shape/shape.hpp"

using namespace dpflash::attention;
using dpflash::accounting::UnusableInput;
using nlohmann::json;

namespace {

json oracle() {
  std::ifstream in(DPFLASH_TEST_DATA "/oracle_sensitivity.json");
  REQUIRE(in.good());
  return json::parse(in);
}

/// Twelve digits, and not below the decimal by more than its own last digit.
void check_digits(double found, const json& decimal) {
  const double value = std::stod(decimal.get<std::string>());
  CAPTURE(decimal);
  CHECK(std::abs(found - value) <= 1e-12 * value);
  CHECK(found >= value * (1 - 1e-14));
}

}  // namespace

TEST_CASE("every field of every oracle case, to twelve digits and from above") {
  const json data = oracle();
  for (const json& record : data["cases"]) {
    CAPTURE(record["desc"]);
    json fields = record;
    fields.erase("expected");
    const QuestionDocument document = parse_question(fields.dump());
    const Sensitivity found(document.question);
    const json& expected = record["expected"];
    check_digits(found.score_bound(), expected["B_effective"]);
    CHECK(found.worst().sequence == expected["worst_sequence"]);
    CHECK(found.worst().position == expected["worst_j_first"]);
    CHECK(found.rows_moved() == expected["rows_moved"]);
    check_digits(found.total(), expected["delta_total"]);
    REQUIRE(found.per_head().size() == expected["delta_per_head"].size());
    for (std::size_t h = 0; h < found.per_head().size(); ++h)
      check_digits(found.per_head()[h], expected["delta_per_head"][h]);
    std::vector<double> factors;
    const auto rows = document.question.shape.lengths[static_cast<std::size_t>(found.worst().sequence)].queries;
    for (std::int64_t row = 0; row < rows; ++row)
      if (const double f = found.row_factor(0, row); f > 0) factors.push_back(f);
    REQUIRE(static_cast<std::int64_t>(factors.size()) == found.rows_moved());
    check_digits(factors.front(), expected["row_factor_first"]);
    check_digits(factors.back(), expected["row_factor_last"]);
    if (expected.contains("mu")) check_digits(found.mu(document.sigma), expected["mu"]);
  }
}

namespace {

struct Brute {
  double total = 0;
  RecordPlace worst{0, -1};
  std::int64_t rows = 0;
};

bool sees(const Shape& shape, const SequenceLengths& lengths, std::int64_t row, std::int64_t key) {
  const std::int64_t diagonal = row + lengths.keys - lengths.queries;
  return (!shape.causal || key <= diagonal) && (shape.window.left < 0 || key >= diagonal - shape.window.left) &&
         (shape.window.right < 0 || key <= diagonal + shape.window.right);
}

/// One place of one sequence by the definition of visibility, key by key: the squares of all heads, and the rows.
Brute place_by_definition(const SensitivityQuestion& q, const SequenceLengths& lengths, std::int64_t place) {
  Brute out;
  for (std::int32_t h = 0; h < q.shape.heads; ++h) {
    const std::int32_t kv = h / (q.shape.heads / q.shape.kv_heads);
    const analysis::RowFactor factor(q.unit, analysis::score_bound_up(q.shape, q.clips, kv), q.precision);
    double squares = 0;
    out.rows = 0;
    for (std::int64_t row = 0; row < lengths.queries; ++row) {
      std::int64_t n = 0;
      std::int64_t m = 0;
      for (std::int64_t key = 0; key < lengths.keys; ++key) {
        if (!sees(q.shape, lengths, row, key)) continue;
        ++n;
        m += q.unit == Unit::sequence || (key >= place && key < place + q.block) ? 1 : 0;
      }
      if (m == 0) continue;
      ++out.rows;
      squares +=
          std::pow(factor({n, m, q.unit == Unit::self_token && place == row + lengths.keys - lengths.queries}), 2);
    }
    const double delta = std::sqrt(squares) + 2 * q.precision.eta_over_cv * std::sqrt(static_cast<double>(out.rows));
    out.total += std::pow(clip_of(q.clips.v, kv) * delta, 2);
  }
  return out;
}

Brute by_definition(const SensitivityQuestion& q) {
  Brute best;
  for (std::size_t s = 0; s < q.shape.lengths.size(); ++s) {
    const SequenceLengths& lengths = q.shape.lengths[s];
    if (lengths.keys == 0) continue;
    const std::int64_t last = q.unit == Unit::sequence ? 0 : std::max<std::int64_t>(lengths.keys - q.block, 0);
    for (std::int64_t place = 0; place <= last; ++place) {
      Brute here = place_by_definition(q, lengths, place);
      // Ties go to the lowest; sums in another order may differ in the last bits.
      if (!(here.total > best.total * (1 + 1e-12))) continue;
      here.worst = {static_cast<std::int64_t>(s), q.unit == Unit::sequence ? -1 : place};
      best = here;
    }
  }
  return best;
}

SensitivityQuestion causal(std::int64_t length, double bound) {
  SensitivityQuestion q;
  q.shape.lengths = {{length, length}};
  q.shape.causal = true;
  q.shape.scale = 1;
  q.clips = {{bound}, {1.0}, {1.0}};
  return q;
}

}  // namespace

TEST_CASE("worst record, rows and delta by brute force over 4000 random masks, units and heads") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 4000; ++round) {
    const SensitivityQuestion q = cases::random_question(random);
    const Sensitivity found(q);
    const Brute brute = by_definition(q);
    CAPTURE(round);
    REQUIRE(found.worst().sequence == brute.worst.sequence);
    REQUIRE(found.worst().position == brute.worst.position);
    REQUIRE(found.rows_moved() == brute.rows);
    REQUIRE(std::abs(found.total() - std::sqrt(brute.total)) <= 1e-13 * found.total());
    REQUIRE(found.total() >= std::sqrt(brute.total) * (1 - 1e-15));
    double heads = 0;
    for (const double d : found.per_head()) heads += d * d;
    REQUIRE(heads >= found.total() * found.total() * (1 - 1e-12));
    const std::vector<double> ones(found.per_head().size(), 1.0);
    REQUIRE(std::abs(found.mu(ones) - found.total()) <= 1e-13 * found.total());
  }
}

TEST_CASE("row factors against the formulas in long double") {
  for (const long double b : {0.0L, 1e-9L, 0.25L, 1.0L, 3.5L, 9.7L, 30.0L, 70.0L}) {
    const auto bound = static_cast<double>(b);
    const long double e = std::exp(2 * static_cast<long double>(bound));
    for (const std::int64_t n : {1, 2, 3, 4, 5, 8, 33, 1000, 65536, 1 << 28}) {
      const auto check = [&](Unit unit, const analysis::Moved& moved, long double expected) {
        CAPTURE(n);
        CAPTURE(bound);
        const double f = analysis::RowFactor(unit, bound, {})(moved);
        CHECK(f >= expected * (1 - 1e-17L));
        CHECK(f <= expected * (1 + 1e-13L));
      };
      const auto count = static_cast<long double>(n);
      check(Unit::token, {n, 1}, 2 / (1 + (count - 1) / e));
      check(Unit::token, {n, n}, 2);
      check(Unit::token_add_remove, {n, 1}, n == 1 ? 1 : 2 / (1 + (count - 1) / e));
      // Without cancellation only where T is not small beside 1.
      const auto h = [&](long double x) { return x / (count * e - x * (e - 1)); };
      const auto half = static_cast<long double>((n - 1) / 2);
      if (n <= 33) check(Unit::self_token, {n, 1, true}, 2 * (1 - h(half) - h(count - 1 - half)));
      // The largest of a fine grid of the others' weight, and the end where the zero key is heaviest.
      long double z = 1 / (1 + (count - 1) * std::exp(-b));
      for (int step = 0; step <= 4000; ++step) {
        const long double weight = (count - 1) * std::exp(b * (static_cast<long double>(step) / 2000 - 1));
        z = std::max(z, 2 / (1 + weight * std::exp(-b)) - 1 / (1 + weight));
      }
      const double found = analysis::RowFactor(Unit::zero_out, bound, {})({n, 1});
      CHECK(found >= z * (1 - 1e-17L));
      CHECK(found <= z * (1 + 1e-3L));
    }
  }
}

TEST_CASE("self-token costs what token costs under a causal mask, more under a full one") {
  for (const std::int64_t left : {-1, 5}) {
    SensitivityQuestion q = causal(200, 0.7);
    q.shape.window.left = left;
    const double token = Sensitivity(q).total();
    q.unit = Unit::self_token;
    CHECK(Sensitivity(q).total() == token);
    CHECK(Sensitivity(q).worst().position == 0);
    q.shape.causal = false;
    q.unit = Unit::token;
    const double full = Sensitivity(q).total();
    q.unit = Unit::self_token;
    CHECK(Sensitivity(q).total() > full);
  }
}

TEST_CASE("more clip, block, charge or softcap never lowers a bound; more keys in sight never raise a row's") {
  std::mt19937_64 random(9);
  for (int round = 0; round < 400; ++round) {
    SensitivityQuestion q = cases::random_question(random);
    const double base = Sensitivity(q).total();
    const auto grown = [&](const auto& change) {
      SensitivityQuestion other = q;
      change(other);
      return Sensitivity(other).total();
    };
    CHECK(grown([](auto& o) { o.clips.q[0] *= 1.3; }) >= base);
    CHECK(grown([](auto& o) { o.clips.k[0] *= 1.3; }) >= base);
    CHECK(grown([](auto& o) { o.clips.v[0] *= 1.3; }) >= base);
    CHECK(grown([](auto& o) { o.precision.eps_s += 0.01; }) >= base);
    CHECK(grown([](auto& o) { o.precision.u_p += 0.01; }) >= base);
    CHECK(grown([](auto& o) { o.precision.eta_over_cv += 0.01; }) >= base);
    CHECK(grown([](auto& o) { o.shape.softcap = 1.0; }) <= base);
    if (q.unit == Unit::token) CHECK(grown([](auto& o) { ++o.block; }) >= base);
    for (const bool own : {false, true}) {
      double last = std::numeric_limits<double>::infinity();
      for (std::int64_t n = 1; n < 50; ++n) {
        const Unit unit = own ? Unit::self_token : Unit::token;
        const double f = analysis::RowFactor(unit, 0.1 * round, {})({n, 1, own});
        CHECK(f <= last * (1 + 1e-14));
        last = f;
      }
    }
  }
}

TEST_CASE("corners: tiny and huge scores and clips, one key, no rows, empty sequences, windows beyond the ends") {
  constexpr double kTiny = 1e-300;
  for (const Unit unit : {Unit::token, Unit::zero_out, Unit::self_token, Unit::sequence, Unit::token_add_remove})
    for (const double bound : {kTiny, 1e-20, 1.0, 700.0, 1e5, 1e300}) {
      SensitivityQuestion q = causal(7, bound);
      q.unit = unit;
      for (const double clip : {kTiny, 1.0, 1e300}) {
        q.clips.v = {clip};
        q.clips.k = {clip};
        const Sensitivity found(q);
        CHECK(found.total() > 0);
        CHECK(found.total() <= 2 * std::sqrt(7) * clip * (1 + 1e-12));
        CHECK(found.total() >= clip / 7);
        CHECK(std::isfinite(found.contributions().score_clips));
        CHECK(found.mu(std::vector<double>{1}) == found.total());
        CHECK_FALSE(std::isnan(found.mu(std::vector<double>{1e-300})));
      }
      q.clips.v = q.clips.k = {1.0};
      q.shape.lengths = {{0, 0}, {1, 1}, {0, 5}};
      CHECK(Sensitivity(q).worst().sequence == 1);
      CHECK(Sensitivity(q).rows_moved() == 1);
      q.shape.lengths = {{0, 0}, {0, 5}};
      const Sensitivity none(q);
      CHECK(none.total() == 0);
      CHECK(none.rows_moved() == 0);
      CHECK(none.contributions().by_visible.empty());
      q.shape.lengths = {{5, 9}};
      const double open = Sensitivity(q).total();
      q.shape.window = {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max()};
      CHECK(Sensitivity(q).total() == open);
      q.shape.window = {100, 100};
      CHECK(Sensitivity(q).total() == open);
    }
  SensitivityQuestion q = causal(9, 1);
  q.block = 1000;
  CHECK(Sensitivity(q).total() == doctest::Approx(6).epsilon(1e-12));
}

TEST_CASE("2^20 rows in less than a second") {
  for (const Unit unit : {Unit::token, Unit::self_token})
    for (const std::int64_t left : {-1, 4095}) {
      SensitivityQuestion q = causal(1 << 20, 1);
      q.unit = unit;
      q.shape.window.left = left;
      const auto start = std::chrono::steady_clock::now();
      CHECK(Sensitivity(q).worst().position == 0);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
#ifndef DPFLASH_SANITIZED
      CHECK(took.count() < 1);
#endif
      MESSAGE(took.count() << " s");
    }
  SensitivityQuestion blocks = causal(1 << 20, 1);
  blocks.block = 1 << 18;
  CHECK(Sensitivity(blocks).worst().position == 0);
  blocks.shape.window.left = 1 << 19;
  CHECK_THROWS_AS(Sensitivity{blocks}, UnusableInput);
}

TEST_CASE("charges of the kernels' arithmetic") {
  SensitivityQuestion q = causal(4096, 1);
  q.shape.head_dim = 64;
  const FinitePrecision bf16 = kernel_precision(KernelElement::bf16, q);
  CHECK(bf16.u_p == 0x1p-8);
  CHECK(bf16.eps_s == doctest::Approx(5.2e-6 + 2.4e-7).epsilon(0.01));
  CHECK(bf16.eta_over_cv == doctest::Approx(3.7e-4).epsilon(0.02));
  q.shape.head_dim = 128;
  CHECK(kernel_precision(KernelElement::fp16, q).eps_s == doctest::Approx(1.0e-5 + 2.4e-7).epsilon(0.01));
  CHECK(kernel_precision(KernelElement::fp16, q).u_p == 0x1p-11);
  // The formula of the charge, by hand.
  const double exact = Sensitivity(q).total();
  q.precision = {0.25, 0.5, 0.125};
  double squares = 0;
  for (int n = 1; n <= 4096; ++n) squares += std::pow(2 * 1.25 * (1 + 0x1p-23) / (1 + (n - 1) * std::exp(-2 * 1.5)), 2);
  CHECK(Sensitivity(q).total() == doctest::Approx(std::sqrt(squares) + 2 * 0.125 * 64).epsilon(1e-12));
  CHECK(Sensitivity(q).total() > exact);
  SensitivityQuestion far = causal(8, 71);
  CHECK_THROWS_AS(kernel_precision(KernelElement::bf16, far), UnusableInput);
  CHECK_THROWS_AS(kernel_precision(KernelElement::fp16, causal(8, 10)), UnusableInput);
  far.shape.softcap = 60;
  CHECK(kernel_precision(KernelElement::bf16, far).eps_s > 60 * 1e-6);
  SensitivityQuestion wide = causal(8, 69);
  wide.clips.v = {1e9};
  CHECK_THROWS_AS(kernel_precision(KernelElement::bf16, wide), UnusableInput);
}

TEST_CASE("contributions add up, and the exponent of the score clips is the derivative") {
  SensitivityQuestion q = causal(64, 0.5);
  q.shape.heads = 4;
  q.shape.kv_heads = 2;
  q.clips.v = {1, 2};
  const Sensitivity found(q);
  const Contributions parts = found.contributions();
  double heads = 0;
  for (const double share : parts.head_share) heads += share;
  CHECK(heads == doctest::Approx(1));
  CHECK(parts.head_share[2] == doctest::Approx(4 * parts.head_share[0]));
  double shares = 0;
  std::int64_t rows = 0;
  for (const VisibleShare& bin : parts.by_visible) {
    shares += bin.share;
    rows += bin.rows;
  }
  CHECK(shares == doctest::Approx(1));
  CHECK(rows == 64);
  // d ln Delta / d ln B = B sum of w^2 2 (1 - w) / sum of w^2.
  double top = 0;
  double bottom = 0;
  for (int n = 1; n <= 64; ++n) {
    const double w = 1 / (1 + (n - 1) * std::exp(-1.0));
    top += 0.5 * w * w * 2 * (1 - w);
    bottom += w * w;
  }
  CHECK(parts.score_clips == doctest::Approx(top / bottom).epsilon(1e-6));
}
