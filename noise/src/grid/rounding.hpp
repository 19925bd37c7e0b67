// One record's contribution on the integer grid.
#pragma once

#include <cstdint>
#include <span>

#include "clip/grid_rounding.hpp"

namespace dpflash::noise::grid {

using dpflash::grid::rounded;
using dpflash::grid::Rounding;
__extension__ typedef unsigned __int128 Wide;

/// Sum of the squares of all integers, exact for up to 2^40 elements with |x * factor| below 2^41.
Wide squared_norm(std::span<const float> contribution, const Rounding& rounding);

/// The first of a list of ever smaller factors for which squared_norm is at most integer_clip^2: 1 / spacing
/// (`per_unit`), or what clips the norm, or less where rounding lengthens the vector beyond the bound. It depends on
/// the contribution and public numbers alone. `integer_clip` at most 2^40.
Rounding rounding_of(std::span<const float> contribution, double per_unit, std::int64_t integer_clip);

}  // namespace dpflash::noise::grid
