#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "command.hpp"

using dpflash::test::Outcome;
using dpflash::test::run;
using Json = nlohmann::ordered_json;

namespace {

using Words = std::vector<std::string>;

/// The JSON of a command that must succeed, silently on standard error.
Json answer(Words arguments, const std::string& input = "") {
  arguments.insert(arguments.end(), {"--format", "json"});
  const Outcome outcome = run(arguments, input);
  CAPTURE(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(outcome.err == "");
  CHECK(outcome.out.back() == '\n');
  return Json::parse(outcome.out);
}

Words keys(const Json& object) {
  Words out;
  for (const auto& item : object.items()) out.push_back(item.key());
  return out;
}

/// lower <= truth <= upper, and estimate between them.
void check_holds(const Json& bracket, double truth) {
  CHECK(keys(bracket) == Words{"lower", "estimate", "upper"});
  CHECK(bracket["lower"].get<double>() <= truth);
  CHECK(bracket["upper"].get<double>() >= truth);
  CHECK(bracket["lower"].get<double>() <= bracket["estimate"].get<double>());
  CHECK(bracket["estimate"].get<double>() <= bracket["upper"].get<double>());
  CHECK(bracket["upper"].get<double>() - bracket["lower"].get<double>() <= 1e-4 * bracket["upper"].get<double>());
}

// mpmath, 60 digits: the epsilon at which Phi(1/2 - eps) - e^eps Phi(-1/2 - eps) is 1e-5, and the same with mu = 2.
constexpr double kOneGaussian = 4.377178095681225;
constexpr double kOneGaussianReplaced = 9.997256;

}  // namespace

TEST_SUITE_BEGIN("answers");

TEST_CASE("epsilon in JSON has the fields of the contract in their order") {
  const Json json = answer({"epsilon", "--delta", "1e-5", "--noise-multiplier", "1"});
  CHECK(keys(json) == Words{"accountant", "engine", "adjacency", "delta", "epsilon", "seconds"});
  CHECK(json["accountant"] == "pld");
  CHECK(json["engine"] == "closed-form");
  CHECK(json["adjacency"] == "add-or-remove-one");
  CHECK(json["delta"].get<double>() == 1e-5);
  check_holds(json["epsilon"], kOneGaussian);
}

TEST_CASE("the shorthand and the document are one plan; --adjacency overrides the document's") {
  const std::string plan =
      R"({"adjacency":"replace-one","events":[{"mechanism":{"type":"gaussian","noise_multiplier":1}}]})";
  const Words ask = {"epsilon", "--delta", "1e-5", "--events", "-"};
  const Json replaced = answer(ask, plan);
  CHECK(replaced["adjacency"] == "replace-one");
  CHECK(replaced["epsilon"]["upper"].get<double>() == doctest::Approx(kOneGaussianReplaced).epsilon(1e-6));
  Words overridden = ask;
  overridden.insert(overridden.end(), {"--adjacency", "add-or-remove-one"});
  check_holds(answer(overridden, plan)["epsilon"], kOneGaussian);
}

TEST_CASE("delta undoes epsilon") {
  const Json json = answer({"delta", "--epsilon", "4.377178095681225", "--noise-multiplier", "1"});
  CHECK(keys(json) == Words{"accountant", "engine", "adjacency", "epsilon", "delta", "seconds"});
  CHECK(json["delta"]["upper"].get<double>() == doctest::Approx(1e-5).epsilon(1e-6));
  CHECK(json["delta"]["lower"].get<double>() == doctest::Approx(1e-5).epsilon(1e-6));
}

TEST_CASE("accountants that bound from above say lower 0 and estimate upper") {
  for (const std::string name : {"rdp", "basic"}) {
    CAPTURE(name);
    const Json json =
        answer({"epsilon", "--delta", "1e-5", "--noise-multiplier", "1", "--steps", "4", "--accountant", name});
    CHECK(json["accountant"] == name);
    CHECK(json["epsilon"]["lower"].get<double>() == 0);
    CHECK(json["epsilon"]["estimate"] == json["epsilon"]["upper"]);
    CHECK(json["epsilon"]["upper"].get<double>() > 9.99);
    CHECK(json.contains("order") == (name == "rdp"));
    CHECK_FALSE(json.contains("engine"));
  }
}

TEST_CASE("an epsilon that does not exist is null and unbounded") {
  const Json json = answer({"epsilon", "--delta", "1e-5", "--events", "-"},
                           R"({"events":[{"mechanism":{"type":"epsilon_delta","epsilon":1,"delta":0.5}}]})");
  CHECK(json["epsilon"]["upper"].is_null());
  CHECK(json["epsilon"].value("unbounded", false));
}

TEST_CASE("calibrate answers with the value and a bracket below the target") {
  const Json json =
      answer({"calibrate", "--target-epsilon", "4.3771781", "--delta", "1e-5", "--solve", "noise-multiplier"});
  const Words names = keys(json);
  CHECK(Words(names.begin(), names.begin() + 5) == Words{"solve", "value", "epsilon", "delta", "seconds"});
  CHECK(json["solve"] == "noise-multiplier");
  CHECK(json["value"].get<double>() == doctest::Approx(1).epsilon(1e-4));
  CHECK(json["epsilon"]["upper"].get<double>() <= 4.3771781);
  const Json steps =
      answer({"calibrate", "--target-epsilon", "3", "--delta", "1e-5", "--solve", "steps", "--events", "-"},
             R"({"events":[{"mechanism":{"type":"gaussian","noise_multiplier":10},"count":null}]})");
  CHECK(steps["value"].is_number_integer());
  CHECK(steps["epsilon"]["upper"].get<double>() <= 3);
}

TEST_CASE("compare lists every accountant, none below the certified lower end") {
  const Json json = answer({"compare", "--delta", "1e-5", "--noise-multiplier", "1"});
  CHECK(json["delta"].get<double>() == 1e-5);
  Words accountants;
  for (const Json& row : json["results"]) {
    accountants.push_back(row["accountant"]);
    CHECK(row["epsilon"]["upper"].get<double>() >= kOneGaussian);
    CHECK(row["seconds"].get<double>() >= 0);
  }
  CHECK(accountants == Words{"pld", "rdp", "rdp-classic", "basic"});
}

TEST_CASE("text names what is certified; csv has one header") {
  const Words ask = {"epsilon", "--delta", "1e-5", "--noise-multiplier", "1"};
  const Outcome text = run(ask);
  CHECK(text.status == 0);
  for (const std::string part : {"upper       4.3771781", "lower       4.37717809", "certified", "not certified",
                                 "add-or-remove-one", "closed-form", "time"}) {
    CAPTURE(part);
    CHECK(text.out.find(part) != std::string::npos);
  }
  Words csv = ask;
  csv.insert(csv.end(), {"--format", "csv"});
  CHECK(run(csv).out.rfind("accountant,engine,adjacency,delta,epsilon_lower,epsilon_estimate,epsilon_upper,seconds\n"
                           "pld,closed-form,add-or-remove-one,1e-05,",
                           0) == 0);
}

TEST_CASE("help and version are answers") {
  CHECK(run({"--version"}).out.rfind("dpflash ", 0) == 0);
  CHECK(run({"--help"}).out.find("Examples:") != std::string::npos);
  for (const std::string command : {"epsilon", "delta", "calibrate", "compare", "runs"}) {
    const Outcome help = run({command, "--help"});
    CHECK(help.status == 0);
    CHECK(help.err == "");
    CHECK(help.out.find("Usage: dpflash " + command) != std::string::npos);
  }
}

TEST_SUITE_END();
