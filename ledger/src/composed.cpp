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

accounting::Bracket epsilon_within(const Plan& plan, const Budget& budget, double width) {
  return accounting::certified_epsilon(plan, budget.delta, {.relative_width = accounting::RelativeWidth(width)})
      .bracket;
}

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
  // Not delta at the budget's epsilon: far inside the budget that is a number too small to be found in any time.
  const accounting::Bracket wide = epsilon_within(plan, budget, 1e-2);
  if (wide.upper <= budget.epsilon.value()) return true;
  if (wide.lower > budget.epsilon.value()) return false;
  return epsilon_of(plan, budget).upper <= budget.epsilon.value();
}

bool Headroom::covers(const Counts& counts) const {
  return std::all_of(counts.begin(), counts.end(), [&](const auto& item) {
    const auto at = certified_.find(item.first);
    return at != certified_.end() && item.second <= at->second;
  });
}

bool Headroom::fits(const Counts& now, const Counts& then, const Budget& budget) {
  constexpr std::int64_t kMostAhead = 4096;
  if (covers(then)) return true;
  const auto certify = [&](std::int64_t times) {
    Counts more = certified_;
    for (const auto& [key, count] : then) {
      const auto before = now.find(key);
      const std::int64_t step = count - (before == now.end() ? 0 : before->second);
      if (step > kMostOfAll / kMostAhead) return false;
      auto& most = more[key];
      most = std::max(most, std::min(count + (times - 1) * step, kMostOfAll));
    }
    try {
      if (!ledger::fits(plan_of(more, budget.adjacency), budget)) return false;
    } catch (const accounting::UnusableInput&) {
      return false;  // more than a plan may hold, though what is asked need not be
    }
    certified_ = std::move(more);
    return true;
  };
  for (; ahead_ > 1; ahead_ /= 2) {
    if (!certify(ahead_)) continue;
    ahead_ = std::min(2 * ahead_, kMostAhead);
    return true;
  }
  // What counts: exactly what is asked.
  if (!ledger::fits(plan_of(then, budget.adjacency), budget)) return false;
  certified_ = then;
  ahead_ = 2;
  return true;
}

accounting::Bracket epsilon_of(const Plan& plan, const Budget& budget) { return epsilon_within(plan, budget, 1e-6); }

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
