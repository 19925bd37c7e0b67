// What is composed: how often each mechanism ran, and what all of it costs.
#pragma once

#include <dpflash/ledger/ledger.hpp>
#include <map>
#include <string>
#include <string_view>

namespace dpflash::ledger {

/// A mechanism with its sampling, as the text that counts are kept under.
std::string key_of(const accounting::Event& event);

/// Counts by key_of. However many entries a ledger has, it has as many of these as there are distinct mechanisms.
using Counts = std::map<std::string, std::int64_t, std::less<>>;

/// Throws UnusableInput when a count passes 1e15.
void add(Counts& counts, const accounting::Plan& plan);
void add(Counts& counts, std::string_view key, std::int64_t count);

/// All of them as one plan. Throws LedgerError for a key that is no mechanism.
accounting::Plan plan_of(const Counts& counts, accounting::Adjacency adjacency);

/// Whether the plan is certified to be within the budget.
bool fits(const accounting::Plan& plan, const Budget& budget);

/// Counts that were certified to fit, a little ahead of what was asked: whatever has no more of any mechanism fits too,
/// since leaving releases out never costs privacy. Spares most spends the composition.
class Headroom {
 public:
  /// Whether `then`, which is `now` and one plan more, is certified to fit.
  bool fits(const Counts& now, const Counts& then, const Budget& budget);

 private:
  [[nodiscard]] bool covers(const Counts& counts) const;
  Counts certified_;
  std::int64_t ahead_ = 1;  ///< so many times the plan are asked for at once
};

/// Epsilon at the budget's delta.
accounting::Bracket epsilon_of(const accounting::Plan& plan, const Budget& budget);

/// A plan from an entry. Throws LedgerError.
accounting::Plan stored_plan(std::string_view json);

}  // namespace dpflash::ledger
