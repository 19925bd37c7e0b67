// Tables of noise: what they are worth by brute force, what they save, and what is refused.
#include "dpflash/attention/allocation.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <functional>
#include <random>

#include "analysis/row_factor.hpp"
#include "analysis/sweep.hpp"
#include "sensitivity_cases.hpp"

using namespace dpflash::attention;
using dpflash::accounting::Adjacency;
using dpflash::accounting::Delta;
using dpflash::accounting::NoiseMultiplier;
using dpflash::accounting::SamplingRate;
using dpflash::accounting::UnusableInput;
using dpflash::noise::Calibration;

namespace {

Calibration of_mu(double mu) { return Calibration::gaussian_stated(NoiseMultiplier(1 / mu), Delta(1e-5)); }

SensitivityQuestion self_attention(std::int64_t length, double bound, Unit unit = Unit::token) {
  SensitivityQuestion q;
  q.shape.lengths = {{length, length}};
  q.shape.causal = true;
  q.shape.scale = 1;
  q.clips = {{bound}, {1.0}, {1.0}};
  q.unit = unit;
  return q;
}

/// mu by the definition: every sequence, every place, every row, every head.
double brute_mu(const SensitivityQuestion& q, const std::function<double(std::int32_t, std::int64_t)>& sigma) {
  double most = 0;
  for (const SequenceLengths& lengths : q.shape.lengths) {
    const analysis::Places places(q, lengths);
    for (std::int64_t place = 0; place < places.count(); ++place) {
      double sum = 0;
      for (std::int32_t h = 0; h < q.shape.heads; ++h) {
        const std::int32_t kv = h / (q.shape.heads / q.shape.kv_heads);
        const analysis::RowFactor factor(q.unit, analysis::score_bound_up(q.shape, q.clips, kv), q.precision);
        for (std::int64_t row = 0; row < lengths.queries; ++row) {
          const Visible v = visible(q.shape, lengths, row);
          if (v.count() == 0) continue;
          const bool whole = q.unit == Unit::sequence;
          const std::int64_t begin = std::max(v.begin, whole ? v.begin : place);
          const std::int64_t end = std::min(v.end, whole ? v.end : place + std::min(q.block, lengths.keys));
          if (end <= begin) continue;
          const bool own = q.unit == Unit::self_token && place == row + lengths.keys - lengths.queries;
          const double a =
              clip_of(q.clips.v, kv) * (factor({v.count(), end - begin, own}) + 2 * q.precision.eta_over_cv);
          sum += std::pow(a / sigma(h, row), 2);
        }
      }
      most = std::max(most, sum);
    }
  }
  return std::sqrt(most);
}

void check_refused(const std::function<void()>& call, const std::string& field) {
  try {
    call();
    FAIL("accepted: " << field);
  } catch (const UnusableInput& error) {
    CHECK(error.field() == field);
  }
}

}  // namespace

TEST_CASE("savings over one sigma for all, causal") {
  const struct {
    std::int64_t length;
    double bound;
    double saving;
    double tolerance;
  } rows[] = {{512, 1, 3.92, 0.005},  {512, 2, 1.55, 0.005},  {512, 4, 1.002, 0.0005},
              {2048, 1, 9.11, 0.005}, {2048, 2, 2.75, 0.005}, {2048, 4, 1.023, 0.0005}};
  for (const auto& row : rows) {
    const NoiseTable table(Sensitivity(self_attention(row.length, row.bound)), of_mu(0.5));
    CAPTURE(row.length);
    CAPTURE(row.bound);
    CHECK(std::abs(table.saving() - row.saving) <= row.tolerance);
    CHECK(table.mu() <= 0.5);
    CHECK(table.mu() >= 0.5 * (1 - 1e-6));
  }
}

TEST_CASE("savings under a sliding window reach the optimum") {
  for (const auto& [bound, saving] : {std::pair{1.0, 12.5}, std::pair{2.0, 2.98}}) {
    SensitivityQuestion q = self_attention(2048, bound);
    q.shape.window.left = 127;
    const NoiseTable table(Sensitivity(q), of_mu(1));
    CHECK(std::abs(table.saving() - saving) <= 0.005 * saving);
  }
}

TEST_CASE("self-token: noise that is best for token is not enough, and is solved again") {
  for (const auto& [length, excess, saving] :
       {std::tuple{std::int64_t{512}, 1.28, 3.915}, std::tuple{std::int64_t{2048}, 3.83, 7.70}}) {
    const Sensitivity own(self_attention(length, 1, Unit::self_token));
    const NoiseTable token(Sensitivity(self_attention(length, 1)), of_mu(1));
    CHECK(std::pow(NoiseTable::stated(own, token.sigma()).mu(), 2) == doctest::Approx(excess).epsilon(0.003));
    const NoiseTable table(own, of_mu(1));
    CHECK(table.mu() <= 1);
    CHECK(table.saving() == doctest::Approx(saving).epsilon(0.001));
  }
}

TEST_CASE("mu of every table holds by brute force over random masks, units and heads") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 1500; ++round) {
    const SensitivityQuestion q = cases::random_question(random);
    const Sensitivity analysis(q);
    double last = std::numeric_limits<double>::infinity();
    for (const Allocation allocation : {Allocation::uniform, Allocation::per_head, Allocation::optimal}) {
      const NoiseTable table(analysis, of_mu(0.7), allocation);
      const auto sigma = [&](std::int32_t h, std::int64_t row) {
        return table.sigma()[static_cast<std::size_t>(table.per_row() ? h * table.rows() + row : h)];
      };
      const double brute = brute_mu(q, sigma);
      CAPTURE(round);
      REQUIRE(brute <= table.mu() * (1 + 1e-14));
      REQUIRE(table.mu() <= 0.7);
      REQUIRE(table.mu() <= brute * (1 + 1e-9));
      REQUIRE(table.total_variance() <= last * (1 + 1e-6));
      last = table.total_variance();
      for (const float s : table.sigma()) REQUIRE(s > 0);
    }
  }
}

TEST_CASE("optimal is what no random direction improves") {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal;
  for (int round = 0; round < 60; ++round) {
    const SensitivityQuestion q = cases::random_question(random);
    if (q.block > 1 && q.shape.window.left >= 0) continue;  // an upper bound only
    const Sensitivity analysis(q);
    const NoiseTable table(analysis, of_mu(1));
    if (analysis.rows_moved() == 0) continue;
    for (int direction = 0; direction < 40; ++direction) {
      std::vector<float> other(table.sigma().begin(), table.sigma().end());
      const double step = std::pow(10, -0.1 * direction);
      for (float& s : other) s *= static_cast<float>(std::exp(step * normal(random)));
      const NoiseTable moved = NoiseTable::stated(analysis, other);
      REQUIRE(moved.total_variance() * moved.mu() * moved.mu() >=
              table.total_variance() * table.mu() * table.mu() * (1 - 1.1e-4));
    }
  }
}

TEST_CASE("under add/remove the oracle's numbers") {
  SensitivityQuestion q = self_attention(48, 2, Unit::token_add_remove);
  q.shape.heads = q.shape.kv_heads = 2;
  const Sensitivity analysis(q);
  const NoiseTable best(analysis, of_mu(0.8));
  CHECK(best.total_variance() == doctest::Approx(29201.0270427256).epsilon(3e-7));
  CHECK(NoiseTable(analysis, of_mu(0.8), Allocation::uniform).total_variance() ==
        doctest::Approx(30185.3429800397).epsilon(3e-7));
  CHECK(best.sigma()[0] == doctest::Approx(14.6151924395642).epsilon(2e-7));
  CHECK(best.sigma()[47] == doctest::Approx(15.1518478179419).epsilon(2e-7));
}

TEST_CASE("calibrations that do not fit are refused by name") {
  const Sensitivity analysis(self_attention(8, 1));
  const auto with = [&](const Calibration& c) { (void)NoiseTable(analysis, c); };
  const NoiseMultiplier one(1);
  const Delta delta(1e-5);
  check_refused([&] { with(Calibration::laplace_stated(one, delta)); }, "calibration");
  for (const Adjacency a : {Adjacency::replace_one, Adjacency::replace_special, Adjacency::add_one})
    check_refused([&] { with(Calibration::gaussian_stated(one, delta, {.adjacency = a})); }, "calibration");
  const Calibration sampled = Calibration::gaussian_stated(one, delta, {.rate = SamplingRate(0.1)});
  check_refused([&] { with(sampled); }, "calibration");
  CHECK(NoiseTable(Sensitivity(self_attention(8, 1, Unit::zero_out)), sampled).mu() <= 1);
  check_refused([&] { (void)NoiseTable::stated(analysis, std::vector<float>{1.0F, 2.0F}); }, "sigma");
  check_refused([&] { (void)NoiseTable::stated(analysis, std::vector<float>{0.0F}); }, "sigma[0]");
  SensitivityQuestion huge = self_attention(8, 1);
  huge.clips.v = {1e300};
  check_refused([&] { (void)NoiseTable(Sensitivity(huge), of_mu(1)); }, "sigma");
}

TEST_CASE("the certificate names unit, mu and calibration") {
  const NoiseTable table(Sensitivity(self_attention(8, 1)), of_mu(0.5));
  const std::string text = table.certificate();
  for (const char* part : {R"("mechanism":"attention-gaussian")", R"("unit":"token")", R"("allocation":"optimal")",
                           R"("mu":0.4999)", R"("noise_multiplier":2,)"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
}
