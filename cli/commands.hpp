// What each command answers, as the text to print.
#pragma once

#include <string>

#include "arguments.hpp"

namespace dpflash::cli {

/// Runs the command and returns the whole of its output. Throws UnusableInput, NotComputable.
std::string run(const Arguments& arguments);

std::string run_epsilon_or_delta(const Arguments& arguments);
std::string run_calibrate(const Arguments& arguments);
std::string run_compare(const Arguments& arguments);
std::string run_published(const Arguments& arguments);
std::string run_sensitivity(const Arguments& arguments);

}  // namespace dpflash::cli
