// Reference cases of tests/data, and what a bracket has to satisfy against them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace dpflash::accounting::testing {

/// The truth lies in [lower, upper]; equal ends where the reference is a number.
struct Case {
  std::string id;
  Plan plan;
  bool asks_epsilon = true;
  double at = 0;  // delta of an epsilon, epsilon of a delta
  long double lower = 0;
  long double upper = 0;
  std::int64_t steps = 0;
};

struct CaseFile {
  std::vector<Case> cases;
  std::map<std::string, int> skipped;  // by mechanism or sampling that is not available, or by quantity
};

inline nlohmann::json read_json(const std::string& name) {
  std::ifstream in(std::string(DPFLASH_TEST_DATA) + "/" + name);
  if (!in) throw std::runtime_error("cannot open " + name);
  return nlohmann::json::parse(in);
}

/// The first mechanism or sampling of the plan that this version does not have; empty when it has all of them.
inline std::string unavailable(const nlohmann::json& plan) {
  for (const auto& event : plan.at("events")) {
    const std::string mechanism = event.at("mechanism").at("type");
    if (mechanism != "gaussian" && mechanism != "laplace" && mechanism != "epsilon_delta") return mechanism;
    if (!event.contains("sampling")) continue;
    const std::string sampling = event.at("sampling").at("type");
    if (sampling != "none" && sampling != "poisson") return sampling;
  }
  return {};
}

inline std::int64_t steps_of(const Plan& plan) {
  std::int64_t steps = 0;
  for (const Event& e : plan.events) steps += e.count;
  return steps;
}

/// The epsilon and delta cases of `name`; every other one is counted in `skipped`.
inline CaseFile load_cases(const std::string& name) {
  CaseFile out;
  for (const auto& c : read_json(name)) {
    const std::string quantity = c.at("quantity");
    if (quantity != "epsilon" && quantity != "delta") {
      ++out.skipped["quantity " + quantity];
      continue;
    }
    if (const std::string missing = unavailable(c.at("plan")); !missing.empty()) {
      ++out.skipped["mechanism " + missing];
      continue;
    }
    Case made;
    made.id = c.at("id");
    made.plan = parse_plan(c.at("plan").dump());
    made.asks_epsilon = quantity == "epsilon";
    made.at = c.at("at").at(made.asks_epsilon ? "delta" : "epsilon").get<double>();
    const std::string low = c.contains("value") ? c.at("value") : c.at("lower");
    const std::string high = c.contains("value") ? c.at("value") : c.at("upper");
    const long double error = c.value("relative_error", 0.0);
    made.lower = std::max(0.0L, std::stold(low) * (1 - error));
    made.upper = std::max(0.0L, std::stold(high) * (1 + error));
    made.steps = steps_of(made.plan);
    out.cases.push_back(std::move(made));
  }
  return out;
}

inline Bracket ask(const Case& c, const Options& options) {
  return c.asks_epsilon ? certified_epsilon(c.plan, Delta(c.at), options).bracket
                        : certified_delta(c.plan, Epsilon(c.at), options).bracket;
}

/// Empty when the engine asked for by name cannot answer.
inline std::optional<Bracket> try_ask(const Case& c, const Options& options) {
  try {
    return ask(c, options);
  } catch (const NotComputable&) {
    return std::nullopt;
  }
}

/// The bracket meets the truth's interval, which is widened by `slack`, relative.
inline bool holds(const Bracket& b, const Case& c, long double slack) {
  return b.lower <= b.upper && b.estimate >= b.lower && b.estimate <= b.upper && b.lower <= c.upper * (1 + slack) &&
         b.upper >= c.lower * (1 - slack);
}

/// Values below the smallest normal double have no relative width.
inline bool reaches(const Bracket& b, const Case& c, double width) {
  const double gap = b.upper - b.lower;
  return gap <= width * b.upper || (c.asks_epsilon && gap <= 1e-9) || b.upper <= 1e-300;
}

/// Prints what a run over a file covered.
class Tally {
 public:
  explicit Tally(std::string name) : name_(std::move(name)), begun_(std::chrono::steady_clock::now()) {}
  ~Tally() {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun_;
    std::printf("%s: %d answered, %d not answered, %d wider than asked, %.1f s\n", name_.c_str(), answered, silent,
                wide, spent.count());
  }
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;

  int answered = 0;
  int silent = 0;
  int wide = 0;

 private:
  std::string name_;
  std::chrono::steady_clock::time_point begun_;
};

inline void print_skipped(const std::string& name, const CaseFile& file) {
  std::printf("%s: %zu cases covered\n", name.c_str(), file.cases.size());
  for (const auto& [why, count] : file.skipped) std::printf("%s: SKIPPED %d, %s\n", name.c_str(), count, why.c_str());
}

inline std::string show(const Bracket& b) {
  char text[96];
  std::snprintf(text, sizeof text, "[%.17g, %.17g]", b.lower, b.upper);
  return text;
}

inline std::string show(const Case& c) {
  char text[128];
  std::snprintf(text, sizeof text, ": truth [%.19Lg, %.19Lg]", c.lower, c.upper);
  return c.id + text;
}

}  // namespace dpflash::accounting::testing
