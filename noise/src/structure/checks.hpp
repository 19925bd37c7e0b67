// What every mechanism refuses, and how it says so.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <dpflash/accounting/error.hpp>
#include <string>

#include "dpflash/noise/calibration.hpp"
#include "dpflash/noise/source.hpp"
#include "structure/rounding.hpp"

namespace dpflash::noise::structure {

/// Most coordinates of a mechanism: the draws of one stream and step.
inline constexpr std::uint64_t kMostElements = std::uint64_t{1} << 56;

inline std::string text(double value) {
  std::array<char, 32> out{};
  return {out.data(), std::to_chars(out.data(), out.data() + out.size(), value).ptr};
}

inline void check_clip(double clip, const std::string& field = "clip") {
  if (!(clip > 0) || !std::isfinite(clip))
    throw accounting::UnusableInput(field, text(clip), "a finite number above 0");
}

inline void check_dimension(std::uint64_t dimension, const std::string& field = "dimension") {
  if (dimension < 1 || dimension > kMostElements)
    throw accounting::UnusableInput(field, std::to_string(dimension), "an integer in [1, 2^56]");
}

inline void check_size(std::size_t got, std::size_t expected, const char* field) {
  if (got != expected)
    throw accounting::UnusableInput(std::string(field) + ".size", std::to_string(got),
                                    "exactly " + std::to_string(expected) + " elements");
}

inline void check_shard(std::size_t begin, std::size_t count, std::size_t size) {
  if (begin > size || count > size - begin)
    throw accounting::UnusableInput("shard", "[" + std::to_string(begin) + ", +" + std::to_string(count) + ")",
                                    "a range within " + std::to_string(size) + " elements");
}

inline const Calibration& check_family(const Calibration& calibration, Family family) {
  if (calibration.family() != family)
    throw accounting::UnusableInput("calibration.family", std::string(name_of(calibration.family())),
                                    "a " + std::string(name_of(family)) + " calibration");
  return calibration;
}

/// A scale as a float, rounded up. `exact_or_above` is not below the scale that privacy needs.
inline float scale_of(double exact_or_above, const std::string& field = "clip") {
  const float scale = float_up(exact_or_above);
  if (!is_positive_normal(scale))
    throw accounting::UnusableInput(field, "a scale of " + text(exact_or_above),
                                    "values whose noise scale is a normal float");
  return scale;
}

/// `position`, `by` draws later; never wraps around.
inline Position later(const Position& position, std::uint64_t by) {
  if (position.first > kMostElements || by > kMostElements - position.first)
    throw accounting::UnusableInput("position.first", std::to_string(position.first) + " + " + std::to_string(by),
                                    "first + count at most 2^56");
  return {position.stream, position.step, position.first + by};
}

}  // namespace dpflash::noise::structure
