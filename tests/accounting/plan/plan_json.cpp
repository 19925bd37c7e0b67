#include <doctest/doctest.h>

#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace dpflash::accounting;

namespace {

/// One event as a document.
std::string with(const std::string& event) { return R"({"events":[)" + event + "]}"; }
const std::string kGaussian = R"("mechanism":{"type":"gaussian","noise_multiplier":1.5})";

std::string refusal(const std::string& json) {
  try {
    (void)parse_plan(json);
  } catch (const UnusableInput& error) {
    return error.what();
  } catch (const NotComputable& error) {
    return std::string("not computable: ") + error.what();
  }
  return "accepted";
}

bool starts(const std::string& text, const std::string& with_this) { return text.rfind(with_this, 0) == 0; }

}  // namespace

TEST_CASE("a full document is read field by field") {
  const Plan plan = parse_plan(R"({"adjacency": "replace-one", "events": [
    {"label": "layer.0", "mechanism": {"type": "gaussian", "noise_multiplier": 1.1},
     "sampling": {"type": "poisson", "rate": 0.004}, "count": 20000},
    {"mechanism": {"type": "laplace", "noise_multiplier": 12}},
    {"mechanism": {"type": "epsilon_delta", "epsilon": 0.5}}]})");
  CHECK(plan.adjacency == Adjacency::replace_one);
  REQUIRE(plan.events.size() == 3);
  CHECK(plan.events[0].label == "layer.0");
  CHECK(std::get<Gaussian>(plan.events[0].mechanism).noise_multiplier == 1.1);
  CHECK(std::get<PoissonSampling>(plan.events[0].sampling).rate == 0.004);
  CHECK(plan.events[0].count == 20000);
  CHECK(std::get<Laplace>(plan.events[1].mechanism).noise_multiplier == 12);
  CHECK(std::holds_alternative<NoSampling>(plan.events[1].sampling));
  CHECK(plan.events[1].count == 1);
  CHECK(std::get<EpsilonDelta>(plan.events[2].mechanism).epsilon == 0.5);
  CHECK(std::get<EpsilonDelta>(plan.events[2].mechanism).delta == 0);
  CHECK(parse_plan(R"({"events": []})").events.empty());
}

TEST_CASE("a count may be written as any number that is an integer") {
  for (const auto& [text, value] : std::vector<std::pair<std::string, std::int64_t>>{
           {"1000.0", 1000}, {"1e6", 1000000}, {"1e12", 1000000000000}, {"7", 7}}) {
    CHECK(parse_plan(with("{" + kGaussian + R"(,"count":)" + text + "}")).events[0].count == value);
  }
  for (const std::string bad : {"0", "-1", "1.5", "1e13", "18446744073709551616", "true", "\"5\"", "null", "[1]"}) {
    CAPTURE(bad);
    CHECK(starts(refusal(with("{" + kGaussian + R"(,"count":)" + bad + "}")), "events[0].count: "));
  }
}

TEST_CASE("text that is not one JSON document is refused") {
  for (const std::string bad :
       {"", "  \n", "{", "{}x", "{} {}", "nul", "{\"events\": [NaN]}", "{'events': []}", "{\"events\": [],}",
        "// no\n{}", "\xff\xfe", "{\"events\":[],\"adjacency\":\"\xc3\x28\"}", "{\"events\": [1e999]}",
        "{\"events\": Infinity}"}) {
    CAPTURE(bad);
    const std::string message = refusal(bad);
    CHECK(starts(message, "plan: "));
    CHECK(message.find('\n') == std::string::npos);
  }
  // The parser would take a NUL byte for the end of the text.
  for (const std::string& rest : {std::string(), std::string("garbage"), std::string("\0", 1)}) {
    const std::string text = R"({"events":[]})" + std::string("\0", 1) + rest;
    CHECK(starts(refusal(text), "plan: text with a NUL byte is not allowed; "));
    CHECK_THROWS_AS((void)parse_plan_with_hole(text), UnusableInput);
  }
  CHECK(starts(refusal("[]"), "plan: an array is not allowed"));
  CHECK(starts(refusal("3"), "plan: 3 is not allowed"));
}

TEST_CASE("size and depth are limited") {
  CHECK(starts(refusal(std::string(kMaxPlanBytes + 1, ' ')), "plan: a document of more than 16 MiB"));
  CHECK(refusal(std::string(100000, '[')).find("nesting more than 16 deep") != std::string::npos);
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += R"({"a":)";
  CHECK(refusal(deep).find("nesting more than 16 deep") != std::string::npos);
}

TEST_CASE("repeated, unknown and missing fields are refused with their path") {
  CHECK(starts(refusal(R"({"events":[],"events":[]})"), "events: a repeated field is not allowed"));
  CHECK(starts(
      refusal(with("{" + kGaussian + "},{" + kGaussian + R"(,"sampling":{"type":"poisson","rate":1,"rate":1}})")),
      "events[1].sampling.rate: a repeated field"));
  CHECK(refusal(R"({"events":[],"event":[]})") == "event: an unknown field is not allowed; fields: adjacency, events");
  CHECK(starts(refusal(with("{" + kGaussian + R"(,"noise":1})")), "events[0].noise: an unknown field"));
  CHECK(starts(refusal(with(R"({"mechanism":{"type":"gaussian","noise_multiplier":1,"sigma":1}})")),
               "events[0].mechanism.sigma: an unknown field"));
  CHECK(starts(refusal(with("{" + kGaussian + R"(,"sampling":{"type":"poisson","rate":1,"q":1}})")),
               "events[0].sampling.q: an unknown field"));
  CHECK(starts(refusal("{}"), "events: a missing field"));
  CHECK(starts(refusal(with("{}")), "events[0].mechanism: a missing field"));
  CHECK(starts(refusal(with(R"({"mechanism":{}})")), "events[0].mechanism.type: a missing field"));
  CHECK(
      starts(refusal(with(R"({"mechanism":{"type":"gaussian"}})")), "events[0].mechanism.noise_multiplier: a missing"));
  CHECK(starts(refusal(with("{" + kGaussian + R"(,"sampling":{"type":"poisson"}})")),
               "events[0].sampling.rate: a missing"));
  CHECK(starts(refusal(with(R"({"mechanism":{"type":"epsilon_delta"}})")), "events[0].mechanism.epsilon: a missing"));
}

TEST_CASE("a hostile field name stays on one short line") {
  const std::string message = refusal("{\"events\":[],\"a\\nb" + std::string(500, 'x') + "\":1}");
  CHECK(message.find('\n') == std::string::npos);
  CHECK(message.size() < 200);
}

TEST_CASE("wrong types are refused") {
  CHECK(starts(refusal(R"({"events":{}})"), "events: an object is not allowed; an array"));
  CHECK(starts(refusal(R"({"events":[3]})"), "events[0]: 3 is not allowed"));
  CHECK(starts(refusal(R"({"events":[],"adjacency":1})"), "adjacency: 1 is not allowed"));
  CHECK(starts(refusal(R"({"events":[],"adjacency":"both"})"),
               "adjacency: \"both\" is not allowed; one of: add-or-remove-one, replace-one"));
  CHECK(starts(refusal(with("{" + kGaussian + R"(,"label":1})")), "events[0].label: 1"));
  CHECK(starts(refusal(with("{" + kGaussian + R"(,"sampling":null})")), "events[0].sampling: null"));
  CHECK(starts(refusal(with(R"({"mechanism":"gaussian"})")), "events[0].mechanism: \"gaussian\""));
  for (const std::string bad : {"\"1\"", "null", "true", "[1]", "{}", "0", "-1", "1e10", "1e-4"}) {
    CAPTURE(bad);
    CHECK(starts(refusal(with(R"({"mechanism":{"type":"gaussian","noise_multiplier":)" + bad + "}}")),
                 "events[0].mechanism.noise_multiplier: "));
  }
  CHECK(refusal(with("{" + kGaussian + R"(,"sampling":{"type":"poisson","rate":1.5}})")) ==
        "events[0].sampling.rate: 1.5 is not allowed; a number in (0, 1], not below 1e-15");
}

TEST_CASE("what the format names but this version lacks is told apart from what nobody knows") {
  CHECK(refusal(with(R"({"mechanism":{"type":"discrete_gaussian","sigma":1}})")) ==
        "not computable: events[0].mechanism.type: discrete_gaussian is not available in this version; available: "
        "gaussian, laplace, epsilon_delta");
  CHECK(refusal(with("{" + kGaussian + R"(,"sampling":{"type":"random_allocation","steps":3}})")) ==
        "not computable: events[0].sampling.type: random_allocation is not available in this version; available: "
        "poisson");
  CHECK(refusal(with(R"({"mechanism":{"type":"gauss","noise_multiplier":1}})")) ==
        "events[0].mechanism.type: \"gauss\" is not allowed; one of: gaussian, laplace, epsilon_delta");
  CHECK(starts(refusal(with("{" + kGaussian + R"(,"sampling":{"type":"uniform"}})")),
               "events[0].sampling.type: \"uniform\""));
}

TEST_CASE("writing and reading gives the same plan bit for bit") {
  Plan plan{.adjacency = Adjacency::add_one};
  for (const double x : {0.1 + 0.2, 1.0 / 3, 5e-3, 123456789.123456789, 1e9, 0.30000000000000004}) {
    plan.events.push_back(
        {.mechanism = Gaussian{x}, .sampling = PoissonSampling{1 / (1 + x)}, .count = 1'000'000'000'000});
    plan.events.push_back({.mechanism = Laplace{x}, .label = "a \"b\"\n\\ \xc3\xa9"});
    plan.events.push_back({.mechanism = EpsilonDelta{x / 1e9, 1e-300}});
  }
  const std::string text = plan_to_json(plan);
  CHECK(text.find('\n') == std::string::npos);
  const Plan back = parse_plan(text);
  REQUIRE(back.events.size() == plan.events.size());
  CHECK(back.adjacency == plan.adjacency);
  for (std::size_t i = 0; i < plan.events.size(); i += 3) {
    CHECK(std::get<Gaussian>(back.events[i].mechanism).noise_multiplier ==
          std::get<Gaussian>(plan.events[i].mechanism).noise_multiplier);
    CHECK(std::get<PoissonSampling>(back.events[i].sampling).rate ==
          std::get<PoissonSampling>(plan.events[i].sampling).rate);
    CHECK(back.events[i].count == plan.events[i].count);
    CHECK(back.events[i + 1].label == plan.events[i + 1].label);
    CHECK(std::get<EpsilonDelta>(back.events[i + 2].mechanism).delta == 1e-300);
  }
  CHECK(plan_to_json(back) == text);
  CHECK(
      plan_to_json(Plan{.events = {{.mechanism = Gaussian{0.1}}}}) ==
      R"({"adjacency":"add-or-remove-one","events":[{"mechanism":{"type":"gaussian","noise_multiplier":0.1},"count":1}]})");
}

TEST_CASE("a calibration's plan has exactly one null") {
  const auto hole = [](const std::string& mechanism_value, const std::string& rate, const std::string& count) {
    return parse_plan_with_hole(with("{" + kGaussian + R"(},{"mechanism":{"type":"gaussian","noise_multiplier":)" +
                                     mechanism_value + R"(},"sampling":{"type":"poisson","rate":)" + rate +
                                     R"(},"count":)" + count + "}"));
  };
  CHECK(hole("null", "0.5", "9").unknown == Unknown::noise_multiplier);
  CHECK(hole("2", "null", "9").unknown == Unknown::sampling_rate);
  CHECK(hole("2", "0.5", "null").unknown == Unknown::steps);
  CHECK(hole("2", "0.5", "null").event == 1);
  CHECK(hole("2", "0.5", "null").plan.events[1].count == 1);
  CHECK(hole("2", "null", "9").plan.events[1].count == 9);
  CHECK_THROWS_AS(hole("2", "0.5", "9"), UnusableInput);
  CHECK_THROWS_AS(hole("null", "0.5", "null"), UnusableInput);
  CHECK_THROWS_AS(parse_plan_with_hole(R"({"events":null})"), UnusableInput);
  CHECK_THROWS_AS(parse_plan_with_hole(with(R"({"mechanism":{"type":"epsilon_delta","epsilon":null}})")),
                  UnusableInput);
}
