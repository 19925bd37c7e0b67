// From the command line to a plan.
#pragma once

#include <dpflash/accounting/plan_json.hpp>
#include <string>

#include "arguments.hpp"

namespace dpflash::cli {

/// The whole of a file, or of standard input for "-". Throws UnusableInput naming `field` when it cannot be read or is
/// longer than kMaxPlanBytes.
std::string read_text(const std::string& field, const std::string& file);

/// The plan that the options describe. Throws UnusableInput, NotComputable.
accounting::Plan plan_of(const PlanOptions& options);

/// The plan with the field that `solve` names left out. Throws UnusableInput when it is given, or another one left out.
accounting::PlanTemplate template_of(const PlanOptions& options, accounting::Unknown solve);

/// One line about a plan for people.
std::string summary(const accounting::Plan& plan);

}  // namespace dpflash::cli
