// The squared norm of one row, in the order of clipping.hpp.
#pragma once

#include <span>

namespace dpflash::noise {

/// Relative error at most 2^-37; +inf or NaN exactly when a value is not finite.
double row_squared_norm(std::span<const float> row);

}  // namespace dpflash::noise
