// One record's contribution on the integer grid.
#pragma once

#include <cstdint>
#include <span>

namespace dpflash::noise::grid {

__extension__ typedef unsigned __int128 Wide;

/// How the elements of a contribution become integers: element x becomes x * factor, rounded.
struct Rounding {
  double factor = 0;          ///< 0: everything becomes 0, NaN and infinities too
  bool towards_zero = false;  ///< else to the nearest, ties to even
};

/// The integer of one element; |x * factor| below 2^62.
std::int64_t rounded(float x, const Rounding& rounding);

/// Sum of the squares of all integers, exact; `integer_clip` at most 2^40 bounds the result of a sum that stops early.
Wide squared_norm(std::span<const float> contribution, const Rounding& rounding, std::int64_t integer_clip);

/// The first of a fixed list of ever smaller factors for which squared_norm is at most integer_clip^2. It depends on
/// the contribution and public numbers alone. `clip` and `per_unit` = 1 / spacing only choose where the list starts.
Rounding rounding_of(std::span<const float> contribution, double clip, double per_unit, std::int64_t integer_clip);

}  // namespace dpflash::noise::grid
