// The analyser against independent values, brute force, and corners.
#include "dpflash/attention/sensitivity.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

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
    fields.erase("hetero_mu");
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
