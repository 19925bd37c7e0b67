// compare: every accountant side by side.
#include <algorithm>
#include <cmath>
#include <dpflash/accounting/compare.hpp>
#include <dpflash/accounting/error.hpp>

#include "commands.hpp"
#include "plan_source.hpp"
#include "print.hpp"

namespace dpflash::cli {
namespace {

using accounting::AccountantResult;

std::string json(const std::vector<AccountantResult>& results, const accounting::Plan& plan, double delta) {
  std::string rows = "[";
  for (const AccountantResult& result : results) {
    JsonObject row;
    row.text("accountant", result.accountant).bracket("epsilon", result.epsilon).number("seconds", result.seconds);
    if (result.order) row.number("order", *result.order);
    if (!result.engine.empty()) row.text("engine", result.engine);
    if (!result.note.empty()) row.text("note", result.note);
    rows += (rows.size() == 1 ? "" : ",") + row.done();
  }
  JsonObject out;
  out.number("delta", delta).text("adjacency", name_of(plan.adjacency)).raw("results", rows + "]");
  return out.done() + "\n";
}

std::string csv(const std::vector<AccountantResult>& results, double delta) {
  Table table{.columns = {"accountant", "delta", "epsilon_lower", "epsilon_estimate", "epsilon_upper", "seconds",
                          "order", "engine", "note"},
              .rows = {}};
  for (const AccountantResult& r : results) {
    table.rows.push_back({r.accountant, shortest(delta), shortest(r.epsilon.lower), shortest(r.epsilon.estimate),
                          shortest(r.epsilon.upper), shortest(r.seconds), r.order ? shortest(*r.order) : "", r.engine,
                          r.note});
  }
  return to_csv(table);
}

std::string text(const std::vector<AccountantResult>& results, const accounting::Plan& plan, double delta) {
  Table table{.columns = {"accountant", "epsilon, at most", "at least", "seconds", "how"}, .rows = {}};
  for (const AccountantResult& r : results) {
    std::string how = r.engine;
    if (r.order) how += (how.empty() ? "order " : ", order ") + rounded(*r.order, 5, Toward::nearest);
    if (!r.note.empty()) how += (how.empty() ? "" : "; ") + r.note;
    table.rows.push_back({r.accountant, rounded(r.epsilon.upper, 9, Toward::up),
                          r.epsilon.lower > 0 ? rounded(r.epsilon.lower, 9, Toward::down) : "-",
                          rounded(r.seconds, 3, Toward::nearest), how});
  }
  return "epsilon at delta = " + shortest(delta) + ", " + std::string(name_of(plan.adjacency)) + "\n" + summary(plan) +
         "\n\n" + to_text(table, {false, true, true, true, false}) +
         "\nEvery \"at most\" is certified. pld bounds from both sides: no method proves less than its \"at least\".\n";
}

/// The rows of one accountant: rdp keeps rdp-classic.
void keep(std::vector<AccountantResult>& results, Accountant accountant) {
  const std::string_view name = accountant == Accountant::pld ? "pld" : accountant == Accountant::rdp ? "rdp" : "basic";
  results.erase(
      std::remove_if(results.begin(), results.end(),
                     [&](const AccountantResult& r) { return r.accountant.compare(0, name.size(), name) != 0; }),
      results.end());
}

}  // namespace

std::string run_compare(const Arguments& arguments) {
  const accounting::Plan plan = plan_of(arguments.plan);
  auto results = accounting::compare(plan, accounting::Delta(arguments.delta), arguments.options);
  if (arguments.accountant) keep(results, *arguments.accountant);
  const bool none = std::all_of(results.begin(), results.end(), [](const AccountantResult& r) {
    return std::isinf(r.epsilon.upper) && !r.note.empty();
  });
  if (none && !results.empty()) throw accounting::NotComputable(results.front().note);
  switch (arguments.format) {
    case Format::json:
      return json(results, plan, arguments.delta);
    case Format::csv:
      return csv(results, arguments.delta);
    case Format::text:
    case Format::svg:  // arguments refuse it here
      break;
  }
  return text(results, plan, arguments.delta);
}

Output run(const Arguments& arguments) {
  if (arguments.message) return {*arguments.message};
  switch (arguments.command) {
    case Command::epsilon:
    case Command::delta:
      return {run_epsilon_or_delta(arguments)};
    case Command::calibrate:
      return {run_calibrate(arguments)};
    case Command::compare:
      return {run_compare(arguments)};
    case Command::runs:
      return {run_published(arguments)};
    case Command::sensitivity:
      return {run_sensitivity(arguments)};
    case Command::ledger:
      return run_ledger(arguments);
  }
  return {};
}

}  // namespace dpflash::cli
