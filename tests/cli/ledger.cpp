// dpflash ledger as a user runs it.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "command.hpp"

using dpflash::test::Folder;
using dpflash::test::Outcome;
using dpflash::test::run;
using Json = nlohmann::json;

namespace {

using Words = std::vector<std::string>;

struct Budget {
  Folder folder;
  std::string file = folder.path() + "/budget.db";
  explicit Budget(const std::string& epsilon = "3") {
    REQUIRE(run({"ledger", "create", file, "--epsilon", epsilon, "--delta", "1e-5"}).status == 0);
  }
  [[nodiscard]] Outcome operator()(const std::string& action, Words words = {}) const {
    words.insert(words.begin(), {"ledger", action, file});
    return run(words);
  }
  Json json(const std::string& action, Words words = {}) const {
    words.insert(words.end(), {"--format", "json"});
    const Outcome outcome = (*this)(action, words);
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return Json::parse(outcome.out);
  }
};

void refused(const Outcome& outcome, int status, const std::string& part) {
  CAPTURE(outcome.err);
  CHECK(outcome.status == status);
  CHECK(outcome.out.empty());
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  CHECK(outcome.err.find(part) != std::string::npos);
}

const std::string kPlan =
    R"({"events":[{"label":"layer.0","mechanism":{"type":"gaussian","noise_multiplier":9}},
                  {"label":"layer.1","mechanism":{"type":"gaussian","noise_multiplier":6}}]})";

}  // namespace

TEST_SUITE_BEGIN("ledger");

TEST_CASE("create, spend, reserve, commit, abort, show") {
  const Budget budget;
  const Json spent = budget.json("spend", {"--noise-multiplier", "1.1", "--sampling-rate", "0.004", "--steps", "2000",
                                           "--run", "first", "--step-range", "0:1999"});
  const Outcome alone = run({"epsilon", "--delta", "1e-5", "--noise-multiplier", "1.1", "--sampling-rate", "0.004",
                             "--steps", "2000", "--relative-width", "1e-6", "--format", "json"});
  CHECK(spent["spent"]["upper"] == Json::parse(alone.out)["epsilon"]["upper"]);
  CHECK(spent["hash"].get<std::string>().size() == 64);
  const Json reserved = budget.json("reserve", {"--noise-multiplier", "20", "--steps", "4"});
  CHECK(reserved["sequence"] == 3);
  CHECK(reserved["claimed"]["upper"] > reserved["spent"]["upper"]);
  budget.json("commit", {"3", "--count", "3"});
  budget.json("abort", {"3"});
  const Json shown = budget.json("show");
  CHECK(shown["entries"] == 5);
  CHECK(shown["open_reservations"].empty());
  CHECK(shown["last_entries"][1]["labels"]["steps"] == Json({0, 1999}));
  CHECK(shown["last_entries"][4]["reservation"] == 3);
  CHECK(budget.json("show", {"--last", "2"})["last_entries"].size() == 2);
  const Outcome text = budget("show");
  CHECK(text.out.find("reserve") != std::string::npos);
  CHECK(budget("show", {"--format", "csv"}).out.rfind("entry,time,kind,what,labels\n", 0) == 0);
}

TEST_CASE("over budget is status 3, and what was recorded stays") {
  const Budget budget("0.5");
  refused(budget("spend", {"--noise-multiplier", "1"}), 3, "0.5 is allowed");
  CHECK(budget.json("show")["entries"] == 1);
}

TEST_CASE("report by layer, as text, JSON, CSV and chart") {
  const Budget budget;
  const std::string plan = budget.folder.write("plan.json", kPlan);
  budget.json("spend", {"--events", plan, "--run", "a"});
  const Json report = budget.json("report", {"--by", "layer"});
  REQUIRE(report["shares"].size() == 2);
  CHECK(report["shares"][0]["layer"] == "layer.1");
  CHECK(budget("report").out.find("marginal") != std::string::npos);
  CHECK(budget("report", {"--format", "csv"}).out.find("a,layer.0,,1,") != std::string::npos);
  CHECK(budget("report", {"--format", "svg"}).out.rfind("<svg", 0) == 0);
}

TEST_CASE("verify is status 4 when an entry is not the receipt's") {
  const Budget budget;
  const Json spent = budget.json("spend", {"--noise-multiplier", "9"});
  const std::string receipt = "2:" + spent["hash"].get<std::string>();
  CHECK(budget("verify", {"--receipt", receipt}).status == 0);
  std::string other = receipt;
  other[2] = other[2] == 'a' ? 'b' : 'a';
  const Outcome found = budget("verify", {"--receipt", receipt, "--receipt", other, "--format", "json"});
  CHECK(found.status == 4);
  CHECK(Json::parse(found.out)["sound"] == false);
}

TEST_CASE("unusable words are named") {
  const Budget budget;
  refused(run({"ledger"}), 2, "action: a missing action");
  refused(run({"ledger", "create"}), 2, "file: a missing argument");
  refused(run({"ledger", "create", budget.file + "2", "--delta", "1e-5"}), 2, "--epsilon: a missing option");
  refused(run({"ledger", "create", budget.file + "2", "--epsilon", "nan", "--delta", "1e-5"}), 2, "--epsilon");
  refused(run({"ledger", "create", budget.file + "2", "--epsilon", "1", "--delta", "1"}), 2, "--delta");
  refused(run({"ledger", "create", budget.file, "--epsilon", "1", "--delta", "1e-5"}), 1, "already");
  refused(run({"ledger", "show", budget.file + "3"}), 1, "cannot be opened");
  refused(budget("spend"), 2, "plan: a missing plan");
  refused(budget("spend", {"--noise-multiplier", "1", "--step-range", "5:2"}), 2, "--step-range");
  refused(budget("spend", {"--noise-multiplier", "1", "--adjacency", "replace-one"}), 2, "plan.adjacency");
  refused(budget("spend", {"--noise-multiplier", "1", "--format", "svg"}), 2, "--format");
  refused(budget("spend", {"--noise-multiplier", "1", "--bogus"}), 2, "--bogus");
  refused(budget("commit"), 2, "reservation: a missing argument");
  refused(budget("commit", {"x"}), 2, "reservation: 'x'");
  refused(budget("commit", {"7"}), 2, "reservation: 7");
  refused(budget("report", {"--by", "day"}), 2, "--by");
  refused(budget("verify", {"--receipt", "1:2"}), 2, "--receipt");
  refused(budget("show", {"--last", "-1"}), 2, "--last");
}

TEST_CASE("the shorthand takes the ledger's adjacency") {
  const Folder folder;
  const std::string file = folder.path() + "/r.db";
  REQUIRE(run({"ledger", "create", file, "--epsilon", "9", "--delta", "1e-5", "--adjacency", "replace-one"}).status ==
          0);
  const Outcome spent = run({"ledger", "spend", file, "--noise-multiplier", "2", "--format", "json"});
  const Outcome alone = run({"epsilon", "--delta", "1e-5", "--noise-multiplier", "2", "--adjacency", "replace-one",
                             "--relative-width", "1e-6", "--format", "json"});
  CHECK(Json::parse(spent.out)["spent"]["upper"] == Json::parse(alone.out)["epsilon"]["upper"]);
}

TEST_SUITE_END();
