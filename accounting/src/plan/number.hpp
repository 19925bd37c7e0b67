// Numbers as text, and the ranges of a plan's fields, shared by the checks of C++ values and of JSON.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <string>

namespace dpflash::accounting {

/// The shortest decimal that reads back as `value`.
inline std::string shortest(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

/// A closed interval with the words that describe it in a message.
struct Range {
  double least;
  double most;
  const char* words;

  /// False for NaN.
  [[nodiscard]] bool contains(double value) const { return value >= least && value <= most; }
};

// Outside these, the losses leave the range in which the engines' error bounds were proved.
inline constexpr Range kNoiseMultiplier{1e-3, 1e9, "a number in [0.001, 1e9]"};
inline constexpr Range kRate{1e-15, 1, "a number in (0, 1], not below 1e-15"};
inline constexpr Range kEpsilon{0, 1e6, "a number in [0, 1e6]"};
inline constexpr Range kDelta{0, 1, "a number in [0, 1]"};
inline constexpr Range kCount{1, 1e12, "an integer in [1, 1e12]"};
inline constexpr std::int64_t kTotalCount = 1'000'000'000'000'000;

}  // namespace dpflash::accounting
