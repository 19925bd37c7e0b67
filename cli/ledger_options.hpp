// The command line of `dpflash ledger` as checked values.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <dpflash/ledger/text.hpp>
#include <optional>
#include <string>
#include <vector>

namespace dpflash::cli {

struct LedgerOptions {
  enum class Action { create, reserve, spend, commit, abort, show, verify, report };
  Action action = Action::show;
  std::string file = {};
  std::optional<ledger::Budget> budget = std::nullopt;  ///< of create
  ledger::Labels labels = {};
  std::int64_t reservation = 0;
  std::optional<std::int64_t> count = std::nullopt;
  std::int64_t last = 20;  ///< entries that show prints
  ledger::Grouping by = ledger::Grouping::all;
  std::vector<ledger::Receipt> receipts = {};
};

/// Options as written.
struct RawLedger {
  using Text = std::optional<std::string>;
  Text file, epsilon, delta, run, layer, head, span, reservation, count, last, by;
  std::vector<std::string> receipts;
};

/// Adds the actions to `command`; `add_plan` adds the options of a plan to those that take one.
void add_ledger_actions(CLI::App& command, RawLedger& raw, const std::function<void(CLI::App&)>& add_plan);

/// Throws UnusableInput naming the option. `adjacency`: of create.
LedgerOptions ledger_options(const std::string& action, const RawLedger& raw,
                             std::optional<accounting::Adjacency> adjacency);

}  // namespace dpflash::cli
