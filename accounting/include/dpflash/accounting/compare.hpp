// Every accountant on one plan, side by side.
#pragma once

#include <dpflash/accounting/accountant.hpp>
#include <optional>
#include <string>
#include <vector>

namespace dpflash::accounting {

/// One accountant's answer; one that cannot answer has epsilon.upper = +inf and says why in `note`.
struct AccountantResult {
  /// "pld", "rdp", "rdp-classic" or "basic", in this order.
  std::string accountant;
  Bracket epsilon;
  /// Wall-clock time of this answer.
  double seconds = 0;
  /// The Rényi order used; Rényi accountants only.
  std::optional<double> order = std::nullopt;
  /// The engine used; "pld" only, else empty.
  std::string engine = {};
  /// Empty when there is nothing to say.
  std::string note = {};
};

/// Epsilon of `plan` at `delta` by every accountant; `options` are those of "pld". Throws UnusableInput for a bad plan.
std::vector<AccountantResult> compare(const Plan& plan, Delta delta, const Options& options = {});

}  // namespace dpflash::accounting
