// Numbers and names in messages.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

namespace dpflash::attention::analysis {

/// The shortest text that reads back as the same number.
template <class Number>
std::string written(Number x) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

/// Foreign text on one line of at most about 60 characters.
inline std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 57)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out + (text.size() > 57 ? "...\"" : "\"");
}

}  // namespace dpflash::attention::analysis
