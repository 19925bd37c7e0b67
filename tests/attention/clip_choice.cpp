// Clip constants chosen on public data.
#include "dpflash/attention/clip_choice.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/attention/reference.hpp>
#include <random>
#include <vector>

using namespace dpflash::attention;
using dpflash::accounting::Delta;
using dpflash::accounting::NoiseMultiplier;
using dpflash::accounting::UnusableInput;
using dpflash::noise::Calibration;

namespace {

Calibration of_mu(double mu) { return Calibration::gaussian_stated(NoiseMultiplier(1 / mu), Delta(1e-5)); }

struct Data {
  Shape shape;
  std::vector<double> q, k, v;

  /// Skewed norms, so that clipping has something to cut.
  explicit Data(std::uint64_t seed) {
    shape.lengths = {{24, 24}, {10, 16}};
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.head_dim = 8;
    shape.causal = true;
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    const auto fill = [&](std::vector<double>& rows, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        const double length = std::exp(0.7 * normal(random));
        for (int d = 0; d < 8; ++d) rows.push_back(length * normal(random));
      }
    };
    fill(q, 34 * 2);
    fill(k, 40);
    fill(v, 40);
  }

  [[nodiscard]] PublicSample sample() const { return {q, k, v}; }
};

std::vector<double> outputs(const Data& data, const Clips& clips) {
  std::vector<double> clean(data.q.size());
  ReferenceTensors<double> tensors{.q = {data.q.data(), 0, 16, 8},
                                   .k = {data.k.data(), 0, 8, 8},
                                   .v = {data.v.data(), 0, 8, 8},
                                   .out = {},
                                   .clean = {clean.data(), 0, 16, 8}};
  reference(tensors, {.shape = data.shape, .clips = clips, .packed = true});
  return clean;
}

/// Noise and bias of one triple, worked out again.
double error_of(const Data& data, const std::vector<double>& truth, const Calibration& calibration, double q, double k,
                double v) {
  const Clips clips{{q}, {k}, {v}};
  const std::vector<double> found = outputs(data, clips);
  double bias = 0;
  for (std::size_t i = 0; i < found.size(); ++i) bias += std::pow(found[i] - truth[i], 2) / (34 * 2 * 8);
  const NoiseTable table(Sensitivity({.shape = data.shape, .clips = clips}), calibration);
  return bias + table.total_variance() / (34 * 2);
}

}  // namespace

TEST_CASE("the choice is a minimum of its grid, and what it says of the error is so") {
  const Data data(1);
  const std::vector<double> truth = outputs(data, {{40.0}, {40.0}, {40.0}});
  for (const double mu : {5.0, 50.0, 500.0}) {
    const Calibration calibration = of_mu(mu);
    const ClipChoice best = choose_clips(data.shape, data.sample(), calibration);
    CAPTURE(mu);
    CHECK(error_of(data, truth, calibration, best.c_q, best.c_k, best.c_v) ==
          doctest::Approx(best.error()).epsilon(1e-5));
    CHECK(best.evaluations > 27);
    CHECK(best.evaluations < 200);
    const double step = std::exp2(1.0 / 8);
    for (const double other : {step, 1 / step})
      for (int c = 0; c < 3; ++c)
        CHECK(error_of(data, truth, calibration, best.c_q * (c == 0 ? other : 1), best.c_k * (c == 1 ? other : 1),
                       best.c_v * (c == 2 ? other : 1)) >= best.error() * (1 - 1e-5));
    const ClipChoice again = choose_clips(data.shape, data.sample(), calibration);
    CHECK(again.error() == best.error());
    CHECK(again.c_q == best.c_q);
  }
}

TEST_CASE("the more privacy costs, the harder it clips") {
  const Data data(2);
  double last = 0;
  for (const double mu : {0.01, 1.0, 30.0, 900.0}) {
    const ClipChoice best = choose_clips(data.shape, data.sample(), of_mu(mu), Allocation::uniform);
    CHECK(best.c_v >= last);
    last = best.c_v;
  }
}

TEST_CASE("samples that do not fit are refused by name") {
  Data data(3);
  const auto refused = [&](const std::string& field) {
    try {
      (void)choose_clips(data.shape, data.sample(), of_mu(1));
      FAIL("accepted: " << field);
    } catch (const UnusableInput& error) {
      CHECK(error.field() == field);
    }
  };
  data.v[3] = std::nan("");
  refused("sample.v");
  data.v.assign(data.v.size(), 0);
  refused("sample.v");
  data.k.pop_back();
  refused("sample.k");
}
