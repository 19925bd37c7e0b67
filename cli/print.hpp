// Numbers and answers as text: exact for programs, rounded to the safe side for people.
#pragma once

#include <dpflash/accounting/quantities.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dpflash::cli {

/// The shortest decimal that reads back as `value`; "inf", "-inf" for infinities.
std::string shortest(double value);

enum class Toward { nearest, down, up };

/// `value` with at most `digits` (at most 15) significant digits, so rounded that a lower end stays below and an upper
/// end above.
std::string rounded(double value, int digits, Toward toward);

/// One JSON object on one line, fields in the order given.
class JsonObject {
 public:
  JsonObject& text(std::string_view name, std::string_view value);
  /// Infinity becomes null, followed by `"<name>_unbounded": true`.
  JsonObject& number(std::string_view name, double value);
  JsonObject& integer(std::string_view name, long long value);
  /// {"lower", "estimate", "upper"}; infinite ends become null, with "unbounded": true.
  JsonObject& bracket(std::string_view name, const accounting::Bracket& value);
  /// Text that is JSON already.
  JsonObject& raw(std::string_view name, std::string_view json);
  [[nodiscard]] std::string done() const { return "{" + body_ + "}"; }

 private:
  std::string body_;
};

/// A table with a header row.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

/// Comma-separated, quoted where needed (RFC 4180), lines ended by \n.
std::string to_csv(const Table& table);

/// Columns aligned with blanks, without blanks at the ends of lines. Columns whose flag in `right` is set are aligned
/// at their right.
std::string to_text(const Table& table, const std::vector<bool>& right);

}  // namespace dpflash::cli
