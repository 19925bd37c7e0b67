// Errors of the ledger module.
#pragma once

#include <stdexcept>

namespace dpflash::ledger {

/// The budget does not allow it; nothing was recorded. One line that says what epsilon would be and what is allowed.
class OverBudget : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The file cannot be used: not a ledger, damaged, busy for too long, not writable, no room. One line naming the file.
/// What had been recorded stays recorded; what was being recorded is not.
class LedgerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace dpflash::ledger
