#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "command.hpp"

using dpflash::test::Folder;
using dpflash::test::Outcome;
using dpflash::test::run;

namespace {

/// One Gaussian of multiplier 1 at delta 1e-5, whose epsilon is 4.3771781, published as `epsilon`.
std::string run_file(const std::string& name, const std::string& epsilon, const std::string& accountant,
                     const std::string& note) {
  return R"({"name":")" + name + R"(","source":"a paper, table 1","published":{"epsilon":)" + epsilon +
         R"(,"delta":1e-5,"accountant":")" + accountant + R"(","digits_tolerance":0.005},"delta":1e-5,"note":")" +
         note + R"(","plan":{"events":[{"mechanism":{"type":"gaussian","noise_multiplier":1}}]}})";
}

}  // namespace

TEST_SUITE_BEGIN("published");

TEST_CASE("a published epsilon reproduces to its printed digits, or says why not") {
  const Folder folder;
  (void)folder.write("b.json", run_file("wrong", "4.5", "pld", "printed without its delta"));
  (void)folder.write("a.json", run_file("right", "4.38", "pld", ""));
  (void)folder.write("ignored.txt", "not a run");
  const Outcome json = run({"runs", folder.path(), "--format", "json"});
  REQUIRE(json.status == 0);
  const auto runs = nlohmann::json::parse(json.out)["runs"];
  REQUIRE(runs.size() == 2);
  CHECK(runs[0]["name"] == "right");
  CHECK(runs[0]["verdict"] == "reproduces");
  CHECK(runs[0]["matched"] == "pld");
  CHECK(runs[0]["relative_difference"].get<double>() == doctest::Approx(4.38 / 4.377178 - 1).epsilon(1e-3));
  CHECK(runs[1]["reproduces"] == false);
  CHECK(runs[1]["verdict"] == "does not reproduce: printed without its delta");
  const Outcome text = run({"runs", folder.path() + "/a.json", folder.path() + "/b.json"});
  CHECK(text.status == 0);
  CHECK(text.out.find("right") < text.out.find("wrong"));
  CHECK(text.out.find("+2.81%") != std::string::npos);
  CHECK(run({"runs", folder.path(), "--format", "csv"}).out.find("name,delta,published_epsilon") == 0);
}

TEST_CASE("a value published by a Renyi accountant is matched by ours") {
  const Folder folder;
  const Outcome rdp =
      run({"epsilon", "--delta", "1e-5", "--noise-multiplier", "1", "--accountant", "rdp", "--format", "json"});
  REQUIRE(rdp.status == 0);
  const double upper = nlohmann::json::parse(rdp.out)["epsilon"]["upper"].get<double>();
  (void)folder.write("a.json", run_file("renyi", std::to_string(upper), "rdp", ""));
  (void)folder.write("b.json", run_file("other", std::to_string(upper), "pld", ""));
  const auto runs = nlohmann::json::parse(run({"runs", folder.path(), "--format", "json"}).out)["runs"];
  CHECK(runs[0]["matched"] == "rdp");
  CHECK(runs[1]["verdict"] == "does not reproduce");
}

TEST_CASE("unusable run files are refused by name") {
  const Folder folder;
  CHECK(run({"runs"}).status == 2);
  CHECK(run({"runs", folder.path()}).err.find("a folder without *.json") != std::string::npos);
  CHECK(run({"runs", folder.path() + "/none"}).status == 2);
  for (const std::string text : {"", "[]", "{}", R"({"name":1})", R"({"name":"a","source":"b","published":3})"}) {
    CAPTURE(text);
    const Outcome outcome = run({"runs", folder.write("bad.json", text)});
    CHECK(outcome.status == 2);
    CHECK(outcome.out == "");
    CHECK(outcome.err.find("bad.json") != std::string::npos);
  }
}

TEST_SUITE_END();
