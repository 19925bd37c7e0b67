#include "composed.hpp"

#include <algorithm>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>

namespace dpflash::ledger {
namespace {

using accounting::Event;
using accounting::Plan;

constexpr std::int64_t kMostOfOne = 1'000'000'000'000;
constexpr std::int64_t kMostOfAll = 1'000'000'000'000'000;

/// Narrow, since the budget is decided by its upper end.
accounting::Options narrow() { return {.relative_width = accounting::RelativeWidth(1e-6)}; }

}  // namespace

std::string key_of(const Event& event) {
  return accounting::plan_to_json({.events = {{.mechanism = event.mechanism, .sampling = event.sampling}}});
}

void add(Counts& counts, std::string_view key, std::int64_t count) {
  auto at = counts.find(key);
  if (at == counts.end()) at = counts.emplace(key, 0).first;
  if (count > kMostOfAll - at->second)
    throw accounting::UnusableInput("count", std::to_string(count) + " releases more",
                                    "at most 1e15 of one mechanism in a ledger");
  at->second += count;
}

void add(Counts& counts, const Plan& plan) {
  for (const Event& event : plan.events) add(counts, key_of(event), event.count);
}

Plan plan_of(const Counts& counts, accounting::Adjacency adjacency) {
  Plan out{.adjacency = adjacency};
  for (const auto& [key, count] : counts) {
    if (count == 0) continue;
    const Plan one = stored_plan(key);
    if (one.events.size() != 1 || count < 0) throw LedgerError("ledger: a sum cannot be read; verify it");
    Event event = one.events[0];
    for (std::int64_t rest = count; rest > 0; rest -= event.count) {
      event.count = std::min(rest, kMostOfOne);
      out.events.push_back(event);
    }
  }
  return out;
}

bool fits(const Plan& plan, const Budget& budget) {
  return accounting::certified_delta(plan, budget.epsilon, narrow()).bracket.upper <= budget.delta.value();
}

accounting::Bracket epsilon_of(const Plan& plan, const Budget& budget) {
  return accounting::certified_epsilon(plan, budget.delta, narrow()).bracket;
}

Plan stored_plan(std::string_view json) {
  try {
    return accounting::parse_plan(json);
  } catch (const accounting::UnusableInput& error) {
    throw LedgerError(std::string("ledger: a plan of an entry cannot be read: ") + error.what());
  } catch (const accounting::NotComputable& error) {
    throw LedgerError(std::string("ledger: a plan of an entry is of a later version: ") + error.what());
  }
}

}  // namespace dpflash::ledger
