#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>

#include "command.hpp"

using dpflash::test::Folder;
using dpflash::test::Outcome;
using dpflash::test::run;

namespace {

using Words = std::vector<std::string>;

const Words kEpsilon = {"epsilon", "--delta", "1e-5"};
const std::string kPlan = R"({"events":[{"mechanism":{"type":"gaussian","noise_multiplier":1}}]})";

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Exit status `status`, nothing on standard output, one line on standard error that holds `part`.
void check_refused(const Outcome& outcome, int status, const std::string& part) {
  CAPTURE(outcome.err);
  CHECK(outcome.status == status);
  CHECK(outcome.out == "");
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  CHECK(outcome.err.rfind("dpflash: ", 0) == 0);
  CHECK(outcome.err.find(part) != std::string::npos);
}

}  // namespace

TEST_SUITE_BEGIN("unusable");

TEST_CASE("unusable options exit with 2 and name the option, its value and what is allowed") {
  const Words noise = {"--noise-multiplier", "1"};
  check_refused(run({}), 2, "command: a missing command");
  check_refused(run({"frob"}), 2,
                "command: 'frob' is not allowed; one of: epsilon, delta, calibrate, compare, runs, sensitivity");
  check_refused(run({"curve", "--kind", "trade-off"}), 2, "curve, which this version does not have");
  check_refused(run({"epsilon"}), 2, "--delta: a missing option is not allowed; a number in (0, 1)");
  for (const std::string bad :
       {"0", "1", "-1", "2", "nan", "inf", "0x1p-3", "", " 0.1", "0.1 ", "1e-5x", "1e-400", "+0.1"}) {
    CAPTURE(bad);
    check_refused(run(Words{"epsilon", "--delta", bad} + noise), 2, "--delta: ");
  }
  check_refused(run({"epsilon", "--delta"}), 2, "--delta");
  check_refused(run(kEpsilon + kEpsilon), 2, "arguments: ");
  check_refused(run(kEpsilon + noise + Words{"--bogus", "3"}), 2, "--bogus: an unknown option");
  check_refused(run(kEpsilon + noise + Words{"stray"}), 2, "'stray'");
  check_refused(run(kEpsilon), 2, "plan: a missing plan");
  check_refused(run(kEpsilon + Words{"--noise-multiplier", "-1"}), 2,
                "--noise-multiplier: -1 is not allowed; a number in");
  check_refused(run(kEpsilon + Words{"--noise-multiplier", "nan"}), 2, "--noise-multiplier: 'nan'");
  check_refused(run(kEpsilon + noise + Words{"--sampling-rate", "1.5"}), 2, "--sampling-rate: 1.5");
  check_refused(run(kEpsilon + noise + Words{"--steps", "0"}), 2, "--steps: 0");
  check_refused(run(kEpsilon + noise + Words{"--steps", "2.5"}), 2, "--steps: 2.5 is not allowed; an integer");
  check_refused(run(kEpsilon + noise + Words{"--steps", "1e13"}), 2, "--steps: 1e+13");
  check_refused(run(kEpsilon + noise + Words{"--adjacency", "both"}), 2,
                "--adjacency: \"both\" is not allowed; one of");
  check_refused(run(kEpsilon + noise + Words{"--engine", "gpu"}), 2, "--engine: 'gpu'");
  check_refused(run(kEpsilon + noise + Words{"--engine", "lattice", "--accountant", "rdp"}), 2, "--engine: lattice");
  check_refused(run(kEpsilon + noise + Words{"--accountant", "magic"}), 2, "--accountant: 'magic'");
  check_refused(run(kEpsilon + noise + Words{"--relative-width", "0"}), 2, "--relative-width: 0 is not allowed");
  check_refused(run(kEpsilon + noise + Words{"--format", "xml"}), 2, "--format: 'xml'");
  check_refused(run(kEpsilon + noise + Words{"--format", "svg"}), 2, "--format: svg");
  check_refused(run(Words{"delta", "--epsilon", "inf"} + noise), 2, "--epsilon: 'inf'");
}

TEST_CASE("what a later version may do exits with 1 by name") {
  for (const std::string name : {"zcdp", "gdp", "advanced", "optimal"}) {
    check_refused(run(kEpsilon + Words{"--noise-multiplier", "1", "--accountant", name}), 1,
                  "--accountant: " + name + " is not available in this version");
  }
  check_refused(run(kEpsilon + Words{"--events", "-"}, R"({"events":[{"mechanism":{"type":"zcdp","rho":1}}]})"), 1,
                "events[0].mechanism.type: zcdp is not available in this version");
}

TEST_CASE("calibrate checks what it solves for") {
  const Words ask = {"calibrate", "--target-epsilon", "1", "--delta", "1e-5"};
  check_refused(run(ask + Words{"--noise-multiplier", "1"}), 2, "--solve: a missing option");
  check_refused(run(ask + Words{"--solve", "delta"}), 2, "--solve: 'delta'");
  check_refused(run(ask + Words{"--solve", "noise-multiplier", "--noise-multiplier", "1"}), 2, "--noise-multiplier: 1");
  check_refused(run(ask + Words{"--solve", "steps"}), 2, "plan: a missing plan");
  check_refused(run(ask + Words{"--solve", "steps", "--events", "-"}, kPlan), 2, "a plan without a null");
  check_refused(run(ask + Words{"--solve", "steps", "--events", "-"},
                    R"({"events":[{"mechanism":{"type":"gaussian","noise_multiplier":null}}]})"),
                2, "--solve: steps is not allowed; noise-multiplier");
  check_refused(run({"calibrate", "--target-epsilon", "0", "--delta", "1e-5"}), 2, "--target-epsilon: 0");
  check_refused(run(ask + Words{"--solve", "steps", "--noise-multiplier", "1", "--accountant", "rdp"}), 1, "rdp");
}

TEST_CASE("documents that cannot be read or used exit with 2") {
  const Folder folder;
  const auto events = [&](const std::string& file) { return run(kEpsilon + Words{"--events", file}); };
  check_refused(events(folder.path() + "/none.json"), 2, "No such file or directory");
  check_refused(events(folder.path()), 2, "Is a directory");
  check_refused(events(folder.write("empty.json", "")), 2, "plan: empty text");
  check_refused(events(folder.write("half.json", kPlan.substr(0, 20))), 2, "plan: text that is not JSON");
  check_refused(events(folder.path() + "/a\nb"), 2, "No such file");
  check_refused(events("/dev/zero"), 2, "over 16 MiB");
  check_refused(run(kEpsilon + Words{"--events", "-"}), 2, "plan: empty text");
  check_refused(run(kEpsilon + Words{"--events", "-", "--steps", "3"}, kPlan), 2,
                "--steps: the option beside --events");
  check_refused(
      run(kEpsilon + Words{"--events", "-"}, R"({"events":[{"mechanism":{"type":"gaussian","noise_multiplier":1},
                    "sampling":{"type":"poisson","rate":1.5}}]})"),
      2, "events[0].sampling.rate: 1.5 is not allowed; a number in (0, 1]");
}

TEST_CASE("an answer that cannot be written is not an answer") {
  const Words ask = kEpsilon + Words{"--noise-multiplier", "1"};
  check_refused(run(ask, "", nullptr, true), 1, "standard output");
  check_refused(run(ask, "", "/dev/full"), 1, "standard output: cannot be written: No space left on device");
}

TEST_SUITE_END();
