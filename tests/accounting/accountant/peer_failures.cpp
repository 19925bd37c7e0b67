// Plans on which other accountants fail are answered, and hold the truth.
#include <doctest/doctest.h>

#include <cmath>

#include "cases.hpp"

using namespace dpflash::accounting;
using namespace dpflash::accounting::testing;
using nlohmann::json;

namespace {

bool says(const json& failure, const char* text) {
  return failure.at("error").get<std::string>().find(text) != std::string::npos;
}

// What the other accountant printed as a bound, where the file says that the bound is false.
void check_false_values(const json& failure, const Bracket& ours) {
  if (!failure.contains("reported")) return;
  const json& reported = failure.at("reported");
  for (const char* name : {"upper", "upper_elsewhere"}) {
    if (!reported.contains(name) || reported.at(name).is_null()) continue;
    const double theirs = reported.at(name).get<double>();
    CAPTURE(theirs);
    const bool false_bound = says(failure, "below the truth") || says(failure, "the add-or-remove-one value") ||
                             says(failure, "billed as one") || says(failure, "negative epsilon");
    // one machine's value may be right where the file names another machine's as wrong
    const bool below_truth =
        !failure.at("epsilon").is_null() && theirs < failure.at("epsilon").get<double>() * (1 - 1e-9);
    if (false_bound && below_truth) CHECK(theirs < ours.lower);
    if (says(failure, "negative epsilon")) CHECK(theirs < ours.lower);
    if (says(failure, "above its own RDP")) CHECK(theirs > ours.upper);
  }
  if (says(failure, "reported bracket lies above the truth")) CHECK(reported.at("lower").get<double>() > ours.upper);
  if (reported.contains("lower") && !says(failure, "lies above"))
    CHECK(reported.at("lower").get<double>() <= ours.upper);
}

}  // namespace

TEST_CASE("plans on which other accountants fail") {
  Tally tally("peer failures");
  for (const json& failure : read_json("peer_failures.json")) {
    const std::string id = failure.at("id");
    if (const std::string missing = unavailable(failure.at("plan")); !missing.empty()) {
      std::printf("peer failures: SKIPPED %s, mechanism %s\n", id.c_str(), missing.c_str());
      ++tally.silent;
      continue;
    }
    const Plan plan = parse_plan(failure.at("plan").dump());
    const Delta delta(failure.at("delta").get<double>());
    const Bracket ours = certified_epsilon(plan, delta, {.relative_width = RelativeWidth(1e-5)}).bracket;
    ++tally.answered;
    CAPTURE(id);
    CAPTURE(show(ours));
    CHECK(std::isfinite(ours.upper));
    CHECK(ours.lower >= 0);
    CHECK(ours.lower <= ours.upper);
    CHECK(ours.upper - ours.lower <= std::max(1e-5 * ours.upper, 1e-9));
    if (!failure.at("epsilon").is_null()) {
      const double truth = failure.at("epsilon").get<double>();
      const double error = failure.at("epsilon_relative_error").get<double>() * truth;
      CHECK(ours.lower <= truth + error);
      CHECK(ours.upper >= truth - error);
    }
    check_false_values(failure, ours);
  }
}
