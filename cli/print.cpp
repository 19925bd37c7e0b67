#include "print.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace dpflash::cli {
namespace {

std::string json_text(std::string_view value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_number(double value) { return std::isfinite(value) ? shortest(value) : "null"; }

/// Characters of UTF-8 text, close enough to its width for names and labels.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string shortest(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

std::string rounded(double value, int digits, Toward toward) {
  if (!std::isfinite(value) || value == 0) return shortest(value);
  const auto decimal = [&](double v) {
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%.*e", digits - 1, v);
    return std::string(text.data());
  };
  const auto wrong = [&](double shown) {
    return (toward == Toward::up && shown < value) || (toward == Toward::down && shown > value);
  };
  double shown = std::strtod(decimal(value).c_str(), nullptr);
  if (wrong(shown)) {
    // One unit of the last digit shown moves the decimal past the value, whichever side it was on.
    const double unit = std::pow(10.0, std::floor(std::log10(std::fabs(shown))) - (digits - 1));
    shown = std::strtod(decimal(shown + (toward == Toward::up ? unit : -unit)).c_str(), nullptr);
    if (wrong(shown)) return shortest(value);
  }
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.*g", digits, shown);
  return text.data();
}

JsonObject& JsonObject::raw(std::string_view name, std::string_view json) {
  if (!body_.empty()) body_ += ',';
  body_ += json_text(name);
  body_ += ':';
  body_ += json;
  return *this;
}

JsonObject& JsonObject::text(std::string_view name, std::string_view value) { return raw(name, json_text(value)); }

JsonObject& JsonObject::number(std::string_view name, double value) {
  raw(name, json_number(value));
  return std::isfinite(value) ? *this : raw(std::string(name) + "_unbounded", "true");
}

JsonObject& JsonObject::integer(std::string_view name, long long value) { return raw(name, std::to_string(value)); }

JsonObject& JsonObject::bracket(std::string_view name, const accounting::Bracket& value) {
  JsonObject inner;
  inner.raw("lower", json_number(value.lower)).raw("estimate", json_number(value.estimate));
  inner.raw("upper", json_number(value.upper));
  if (!std::isfinite(value.upper)) inner.raw("unbounded", "true");
  return raw(name, inner.done());
}

std::string to_csv(const Table& table) {
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) out += ',';
      if (cells[i].find_first_of(",\"\r\n") == std::string::npos) {
        out += cells[i];
        continue;
      }
      out += '"';
      for (const char c : cells[i]) out += c == '"' ? std::string("\"\"") : std::string(1, c);
      out += '"';
    }
    out += '\n';
  };
  line(table.columns);
  for (const auto& row : table.rows) line(row);
  return out;
}

std::string to_text(const Table& table, const std::vector<bool>& right) {
  std::vector<std::size_t> widths;
  for (const std::string& column : table.columns) widths.push_back(width(column));
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string pad(widths[i] - width(cells[i]), ' ');
      text += (i == 0 ? "" : "  ") + (right[i] ? pad + cells[i] : cells[i] + pad);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + '\n';
  };
  line(table.columns);
  for (const auto& row : table.rows) line(row);
  return out;
}

}  // namespace dpflash::cli
