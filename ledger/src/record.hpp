// Entries as they are stored and hashed.
#pragma once

#include <dpflash/ledger/ledger.hpp>
#include <string>
#include <string_view>

#include "hash.hpp"

namespace dpflash::ledger {

/// An entry's columns as text: what is hashed, and what is stored.
struct Record {
  std::int64_t sequence = 0;
  std::string kind = {};
  std::string time = {};
  std::int64_t reservation = 0;
  std::string labels = {};  ///< JSON object
  std::string plan = {};    ///< JSON object: a plan; of `create` the budget; empty for `abort`
};

/// The text whose hash is chained: each column as LENGTH:BYTES, and a comma.
std::string canonical(const Record& record);

std::string labels_to_json(const Labels& labels);
/// Throws LedgerError.
Labels labels_from_json(std::string_view json);
/// Throws UnusableInput naming labels.run, labels.layer, labels.head or labels.steps.
void check_labels(const Labels& labels);

/// `name`: makes this ledger's chain differ from every other's.
std::string budget_to_json(const Budget& budget, const std::string& name);
/// Throws LedgerError.
Budget budget_from_json(std::string_view json);
/// Throws UnusableInput naming budget.epsilon.
void check_budget(const Budget& budget);

/// Throws LedgerError.
Kind parse_kind(std::string_view kind);

/// The time now as an entry has it.
std::string utc_now();

}  // namespace dpflash::ledger
