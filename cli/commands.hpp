// What each command answers, as the text to print.
#pragma once

#include <string>

#include "arguments.hpp"

namespace dpflash::cli {

/// Exit status of an answer that says that a ledger was changed.
inline constexpr int kUnsound = 4;

/// What goes to standard output, and the exit status.
struct Output {
  std::string text = {};
  int status = 0;
};

/// Runs the command and returns the whole of its output. Throws UnusableInput, NotComputable, and what the ledger
/// throws.
Output run(const Arguments& arguments);

std::string run_epsilon_or_delta(const Arguments& arguments);
std::string run_calibrate(const Arguments& arguments);
std::string run_compare(const Arguments& arguments);
std::string run_published(const Arguments& arguments);
std::string run_sensitivity(const Arguments& arguments);
Output run_ledger(const Arguments& arguments);

}  // namespace dpflash::cli
