// A ledger's answers as JSON, and its report as a chart.
#pragma once

#include <dpflash/ledger/ledger.hpp>
#include <string>
#include <string_view>

namespace dpflash::ledger {

/// One JSON object on one line each. Brackets are {"lower", "estimate", "upper"}; infinities are null.
std::string to_json(const Receipt& receipt);
std::string to_json(const State& state);
std::string to_json(const Entry& entry);
std::string to_json(const Report& report);
std::string to_json(const Verification& verification);

/// A bar chart: each group's epsilon alone and its marginal share, beside the whole and the budget. At most 60 groups
/// are drawn, the largest; the others are said to be left out.
std::string to_svg(const Report& report);

/// "run", "layer", "head" or "all". Throws UnusableInput naming `field`.
Grouping parse_grouping(std::string_view name, const std::string& field);
std::string_view name_of(Grouping grouping);

/// "SEQUENCE:HASH". Throws UnusableInput naming `field`.
Receipt parse_receipt(std::string_view text, const std::string& field);

}  // namespace dpflash::ledger
