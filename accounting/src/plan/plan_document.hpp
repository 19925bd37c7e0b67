// JSON text to a tree, refusing what the grammar allows but a plan must not contain; and values as words for messages.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace dpflash::accounting {

/// Parses one document. Throws UnusableInput for text that is longer than kMaxPlanBytes, with a NUL byte, not JSON, not
/// UTF-8, nested more than 16 deep, or with a field given twice in one object.
nlohmann::json parse_document(std::string_view text);

/// `value` on one line of at most about 60 printable ASCII characters.
std::string brief(const nlohmann::json& value);

/// `path` extended by the member `key`; the key is shortened and escaped as needed to stay on one line.
std::string member(const std::string& path, const std::string& key);

}  // namespace dpflash::accounting
