#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "command.hpp"

using dpflash::test::Outcome;
using dpflash::test::run;
using nlohmann::json;

namespace {

const json kShape = json::parse(R"({"unit":"token","lengths":[[48,48]],"causal":true,"window":[-1,-1],"H":2,"H_kv":2,
  "D":64,"scale":"0.125","C_q":"4","C_k":4,"C_v":["1","1"]})");

Outcome ask(const json& shape, std::vector<std::string> options = {}) {
  options.insert(options.begin(), {"sensitivity", "-"});
  return run(options, shape.dump());
}

json answer(const json& shape, const std::vector<std::string>& options = {}) {
  const Outcome outcome = ask(shape, options);
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  return json::parse(outcome.out);
}

json with(const char* field, const json& value) {
  json out = kShape;
  out[field] = value;
  return out;
}

void check_refused(const Outcome& outcome, const std::string& part) {
  CAPTURE(outcome.err);
  CHECK(outcome.status == 2);
  CHECK(outcome.out == "");
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  CHECK(outcome.err.find("dpflash: " + part) == 0);
}

void check_near(const json& found, const json& decimal) {
  const double value = std::stod(decimal.get<std::string>());
  CHECK(found.get<double>() == doctest::Approx(value).epsilon(1e-12));
}

}  // namespace

TEST_SUITE_BEGIN("sensitivity");

TEST_CASE("the oracle's cases through the command") {
  std::ifstream in(DPFLASH_TEST_DATA "/oracle_sensitivity.json");
  const json data = json::parse(in);
  for (json record : data["cases"]) {
    CAPTURE(record["desc"]);
    const json expected = record["expected"];
    record.erase("expected");
    const json found = answer(record);
    check_near(found["B_effective"], expected["B_effective"]);
    check_near(found["delta_total"], expected["delta_total"]);
    CHECK(found["worst_sequence"] == expected["worst_sequence"]);
    CHECK(found["worst_j"] == expected["worst_j_first"]);
    CHECK(found["rows_moved"] == expected["rows_moved"]);
    REQUIRE(found["delta_per_head"].size() == expected["delta_per_head"].size());
    for (std::size_t h = 0; h < found["delta_per_head"].size(); ++h)
      check_near(found["delta_per_head"][h], expected["delta_per_head"][h]);
    CHECK(found.contains("mu") == expected.contains("mu"));
    if (expected.contains("mu")) check_near(found["mu"], expected["mu"]);
    CHECK(found.contains("noise") == record.contains("hetero_mu"));
    if (record.contains("hetero_mu")) {
      const double variance = std::stod(expected["hetero_total_variance_per_column"].get<std::string>());
      const double optimal = found["noise"]["allocations"][2]["total_variance"];
      // Each sigma is a float, rounded up.
      CHECK(optimal >= variance * (1 - 1e-12));
      CHECK(optimal <= variance * (1 + 1e-6));
    }
  }
}

TEST_CASE("noise for a mu: three allocations, with what each saves") {
  const json noise = answer(with("unit", "token-add-remove"), {"--mu", "0.8", "--delta", "1e-6"})["noise"];
  REQUIRE(noise["allocations"].size() == 3);
  CHECK(noise["noise_multiplier"] == 1.25);
  CHECK(noise["epsilon"]["upper"].get<double>() > 0);
  CHECK(noise["allocations"][0]["total_variance"].get<double>() == doctest::Approx(30185.3429800397).epsilon(3e-7));
  CHECK(noise["allocations"][2]["total_variance"].get<double>() == doctest::Approx(29201.0270427256).epsilon(3e-7));
  for (const json& row : noise["allocations"]) CHECK(row["mu"].get<double>() <= 0.8);
  CHECK(ask(kShape, {"--mu", "0.8", "--format", "text"}).out.find("optimal") != std::string::npos);
}

TEST_CASE("the plan of 24 layers is what the accountant takes, within the target") {
  const std::string shape = DPFLASH_EXAMPLES "/attention/sliding_window.json";
  const Outcome plan =
      run({"sensitivity", shape, "--target-epsilon", "3", "--delta", "1e-5", "--layers", "24", "--plan"});
  REQUIRE(plan.status == 0);
  const json events = json::parse(plan.out)["events"];
  REQUIRE(events.size() == 24);
  CHECK(events[23]["label"] == "layer.23");
  const Outcome epsilon = run({"epsilon", "--delta", "1e-5", "--events", "-", "--format", "json"}, plan.out);
  REQUIRE(epsilon.status == 0);
  const double upper = json::parse(epsilon.out)["epsilon"]["upper"];
  CHECK(upper <= 3);
  CHECK(upper > 2.999);
  // mu of stated noise: the plan holds no less.
  const json stated = json::parse(ask(with("sigma", 5), {"--plan"}).out);
  CHECK(1 / stated["events"][0]["mechanism"]["noise_multiplier"].get<double>() >= answer(with("sigma", 5))["mu"]);
  // Less than a plan can say: what it says is more.
  for (const json& little : {with("sigma", 1e300), with("lengths", json::parse("[[0,0]]"))}) {
    json shape = little;
    if (!shape.contains("sigma")) shape["sigma"] = 1;
    const Outcome least = ask(shape, {"--plan"});
    REQUIRE_MESSAGE(least.status == 0, least.err);
    CHECK(json::parse(least.out)["events"][0]["mechanism"]["noise_multiplier"] == 1e9);
  }
}

TEST_CASE("the whole sequence as a record has no position, and nothing visible moves nothing") {
  CHECK(answer(with("unit", "sequence"))["worst_j"].is_null());
  const json none = answer(with("lengths", json::parse("[[0,0],[3,0]]")), {"--mu", "1"});
  CHECK(none["delta_total"] == 0);
  CHECK(none["rows_moved"] == 0);
  CHECK(none["worst_j"].is_null());
}

TEST_CASE("examples answer") {
  for (const std::string name : {"decoder", "sliding_window", "retrieval"})
    CHECK(run({"sensitivity", std::string(DPFLASH_EXAMPLES "/attention/") + name + ".json", "--mu", "1"}).status == 0);
}

TEST_CASE("unusable shapes exit with 2 and name the field") {
  check_refused(run({"sensitivity"}), "shape: a missing argument");
  check_refused(run({"sensitivity", "/none/there.json"}), "shape: /none/there.json");
  check_refused(run({"sensitivity", "-"}, "{"), "shape: text that is not JSON");
  check_refused(run({"sensitivity", "-"}, ""), "shape: text that is not JSON");
  check_refused(run({"sensitivity", "-"}, "[1]"), "shape: an array");
  check_refused(run({"sensitivity", "-"}, kShape.dump() + std::string("\0x", 2)), "shape: text with a NUL byte");
  check_refused(run({"sensitivity", "-"}, R"({"unit":"token","unit":"token"})"), "\"unit\": a repeated field");
  check_refused(run({"sensitivity", "-"}, std::string(5000, '[')), "shape: nesting");
  check_refused(run({"sensitivity", "-"}, R"({"D":1e999})"), "shape: a number beyond");
  for (const char* field : {"unit", "lengths", "causal", "H", "D", "C_q", "C_k", "C_v"}) {
    json missing = kShape;
    missing.erase(field);
    check_refused(ask(missing), std::string(field) + ": a missing field");
  }
  const std::vector<std::pair<json, std::string>> cases = {
      {with("expected", 1), "\"expected\": an unknown field"},
      {with("unit", "row"), "unit: \"row\" is not allowed; one of: token, zero-out"},
      {with("unit", 3), "unit: 3"},
      {with("lengths", json::array()), "lengths: an empty list"},
      {with("lengths", 5), "lengths: 5"},
      {with("lengths", json::parse("[[1]]")), "lengths[0]: an array"},
      {with("lengths", json::parse("[[1,2],[-1,3]]")), "lengths[1][0]: -1"},
      {with("lengths", json::parse("[[1,2.5]]")), "lengths[0][1]: 2.5"},
      {with("lengths", json::parse("[[1,268435457]]")), "lengths[0][1]: 268435457"},
      {with("causal", 1), "causal: 1"},
      {with("window", json::parse("[1]")), "window: an array"},
      {with("window", json::parse("[-2,1]")), "window[0]: -2"},
      {with("H", 0), "H: 0"},
      {with("H", "two"), "H: \"two\""},
      {with("H_kv", 3), "H_kv: 3 is not allowed; a divisor of H = 2"},
      {with("D", 1e9), "D: "},
      {with("scale", "0"), "scale: 0"},
      {with("scale", "nan"), "scale: \"nan\""},
      {with("softcap", -1), "softcap: -1"},
      {with("C_q", "inf"), "C_q: \"inf\""},
      {with("C_k", json::parse("[1,2,3]")), "C_k: 3"},
      {with("C_v", json::parse("[1,0]")), "C_v: 0"},
      {with("C_v", "1e400"), "C_v: \"1e400\""},
      {with("block_m", 0), "block_m: 0"},
      {with("sigma", json::parse("[1,2,3]")), "sigma: 3 numbers"},
      {with("sigma", json::parse("[1,0]")), "sigma[1]: 0"},
      {with("finite_precision", "fp8"), "finite_precision: \"fp8\""},
      {with("finite_precision", json::parse(R"({"u_P":0,"eps_s":0})")), "finite_precision.eta_over_Cv: a missing"},
      {with("finite_precision", json::parse(R"({"u_P":0.26,"eps_s":0,"eta_over_Cv":0})")),
       "finite_precision.u_P: 0.26"}};
  for (const auto& [shape, part] : cases) check_refused(ask(shape), part);
  json self = with("unit", "self-token");
  self["lengths"] = json::parse("[[5,4]]");
  check_refused(ask(self), "lengths[0]: 5 queries of 4 keys");
  json blocks = with("unit", "zero-out");
  blocks["block_m"] = 2;
  check_refused(ask(blocks), "block_m: 2");
  json far = with("finite_precision", "bf16");
  far["scale"] = 100;
  check_refused(ask(far), "finite_precision: bf16 with scores up to");
  check_refused(ask(kShape, {"--mu", "0"}), "--mu: 0");
  check_refused(ask(kShape, {"--mu", "1", "--target-epsilon", "1"}), "--mu: the option beside");
  check_refused(ask(kShape, {"--target-epsilon", "1"}), "--delta: a missing option");
  check_refused(ask(kShape, {"--layers", "0", "--mu", "1"}), "--layers: 0");
  check_refused(ask(kShape, {"--plan"}), "--plan: the option alone");
  check_refused(ask(with("sigma", 1e-9), {"--plan"}), "sigma: noise with mu = ");
  check_refused(ask(with("sigma", 1e-320), {"--plan"}), "sigma: noise with mu = ");
  check_refused(ask(kShape, {"--format", "csv"}), "--format: csv");
}
