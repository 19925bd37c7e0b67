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

/// Sum of the squares of all integers, exact for up to 2^40 elements with |x * factor| below 2^41.
Wide squared_norm(std::span<const float> contribution, const Rounding& rounding);

/// The first of a list of ever smaller factors for which squared_norm is at most integer_clip^2: 1 / spacing
/// (`per_unit`), or what clips the norm, or less where rounding lengthens the vector beyond the bound. It depends on
/// the contribution and public numbers alone. `integer_clip` at most 2^40.
Rounding rounding_of(std::span<const float> contribution, double per_unit, std::int64_t integer_clip);

}  // namespace dpflash::noise::grid
