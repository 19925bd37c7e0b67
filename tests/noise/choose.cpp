// The ranking of structures by expected squared error.
#include "dpflash/noise/choose.hpp"

#include <dpflash/accounting/error.hpp>
#include <limits>

#include "mechanism_cases.hpp"

using namespace dpflash;
using accounting::UnusableInput;
using noise::PublicKnowledge;
using noise::Ranked;

namespace {

const Ranked& row(const std::vector<Ranked>& table, const std::string& structure) {
  for (const Ranked& r : table)
    if (r.structure == structure) return r;
  throw std::runtime_error("no row " + structure);
}

}  // namespace

TEST_CASE("where nothing is known apart, nothing beats isotropic") {
  PublicKnowledge flat;
  flat.record.assign(12, 2.0);
  flat.blocks = {3, 9};
  flat.row_spectrum.assign(3, 2.0);
  flat.column_spectrum.assign(4, 1.0);
  const auto table = noise::choose(flat, 1.5, cases::gaussian());
  CHECK(table.size() == 4);
  for (const Ranked& r : table) CHECK(r.ratio == doctest::Approx(1).epsilon(1e-12));
  CHECK(!noise::to_text(table).empty());
}

TEST_CASE("the table's noise is what the mechanisms of its clips really add") {
  PublicKnowledge known;
  known.record = {4, 1, 1, 0.25, 0.25, 0.01};
  known.sum = {16, 4, 4, 1, 1, 0.04};
  known.blocks = {1, 2, 3};
  known.mask = {1, 1, 1, 0, 0, 0};
  known.directions = {14, 1e-3, 10};
  const auto c = cases::gaussian();
  const auto table = noise::choose(known, 1.2, c);
  CHECK(row(table, "isotropic").noise_energy ==
        doctest::Approx(noise::Isotropic(6, row(table, "isotropic").clips[0], c).expected_squared_error()));
  const auto& blocks = row(table, "block-diagonal");
  const noise::Block list[] = {{1, blocks.clips[0]}, {2, blocks.clips[1]}, {3, blocks.clips[2]}};
  CHECK(blocks.noise_energy ==
        doctest::Approx(noise::BlockDiagonal(list, noise::Allocation::least_error, c).expected_squared_error()));
  std::vector<float> weights;
  for (const double s : known.record) weights.push_back(static_cast<float>(std::pow(s, 0.25)));
  CHECK(row(table, "weighted").noise_energy ==
        doctest::Approx(noise::Weighted(weights, row(table, "weighted").clips[0], c).expected_squared_error()));
  const auto& sparse = row(table, "sparse");
  CHECK(sparse.noise_energy ==
        doctest::Approx(noise::Sparse(noise::Mask::of_bits(known.mask), sparse.clips[0], c).expected_squared_error()));
  CHECK(sparse.bias == doctest::Approx(2.04));
  const auto& low = row(table, "low-rank");
  const double each = std::pow(1.25 * low.clips[0], 2);
  CHECK(low.noise_energy == doctest::Approx(static_cast<double>(low.rank) * each));
  CHECK(low.rank == 1);  // 10 is less than the noise of one direction
  CHECK(low.bias == doctest::Approx(26.04 - 14));
  for (std::size_t i = 1; i < table.size(); ++i) CHECK(table[i - 1].total <= table[i].total);
}

TEST_CASE("weighted beats or meets blocks, and blocks isotropic, by Cauchy and Schwarz") {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> skewed(0, 2);
  for (int k = 0; k < 50; ++k) {
    PublicKnowledge known;
    for (int i = 0; i < 20; ++i) known.record.push_back(skewed(random));
    known.blocks = {3, 10, 7};
    const auto table = noise::choose(known, 1, cases::gaussian());
    CHECK(row(table, "weighted").total <= row(table, "block-diagonal").total * (1 + 1e-12));
    CHECK(row(table, "block-diagonal").total <= row(table, "isotropic").total * (1 + 1e-12));
  }
}

TEST_CASE("the best rank is the best of all ranks") {
  PublicKnowledge known;
  known.record.assign(30, 1.0);
  known.sum.assign(30, 1000.0);
  for (int i = 0; i < 30; ++i) known.directions.push_back(30000 * std::pow(0.5, i + 1));
  const auto table = noise::choose(known, 1, cases::gaussian());
  const auto& low = row(table, "low-rank");
  const double each = std::pow(1.25 * low.clips[0], 2);
  double captured = 0;
  for (std::size_t r = 1; r <= 30; ++r) {
    captured += known.directions[r - 1];
    CHECK(low.total <= static_cast<double>(r) * each + 30000 - captured + 1e-6);
  }
  CHECK(low.ratio < 1);
}

TEST_CASE("knowledge that contradicts itself is refused") {
  const auto refuse = [](const std::function<void(PublicKnowledge&)>& spoil) {
    PublicKnowledge known;
    known.record = {1, 2, 3, 4};
    known.sum = {1, 2, 3, 4};
    spoil(known);
    CHECK_THROWS_AS(noise::choose(known, 1, cases::gaussian()), UnusableInput);
  };
  refuse([](auto& k) { k.record.clear(); });
  refuse([](auto& k) { k.record[1] = -1; });
  refuse([](auto& k) { k.record[1] = std::nan(""); });
  refuse([](auto& k) { k.record = {0, 0, 0, 0}; });
  refuse([](auto& k) { k.sum.pop_back(); });
  refuse([](auto& k) { k.blocks = {1, 2}; });
  refuse([](auto& k) { k.blocks = {4, 0}; });
  refuse([](auto& k) { k.blocks = {~std::size_t{0}, 5}; });
  refuse([](auto& k) { k.mask = {1, 0, 1}; });
  refuse([](auto& k) { k.mask = {0, 0, 0, 0}; });
  refuse([](auto& k) { k.mask = {0, 2, 0, 0}; });
  refuse([](auto& k) { k.directions = {11}; });
  refuse([](auto& k) { k.directions = {1, 1, 1, 1, 1}; });
  refuse([](auto& k) {
    k.sum.clear();
    k.mask = {1, 0, 0, 0};
  });
  refuse([](auto& k) { k.row_spectrum = {1, 1}; });
  refuse([](auto& k) {
    k.row_spectrum = {1, 1};
    k.column_spectrum = {1, 1};
  });
  PublicKnowledge fine;
  fine.record = {1.0};
  for (const double headroom : {0.0, -1.0, 1e9, std::nan("")})
    CHECK_THROWS_AS(noise::choose(fine, headroom, cases::gaussian()), UnusableInput);
  CHECK_THROWS_AS(noise::choose(fine, 1, cases::laplace()), UnusableInput);
}
