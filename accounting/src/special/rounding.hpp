// Constants of rounding analysis shared by the engines.
#pragma once

#include <limits>

namespace dpflash::accounting {

/// Unit roundoff of double, 2^-53.
inline constexpr double kUnit = 0.5 * std::numeric_limits<double>::epsilon();
/// Smallest normal double: an absolute allowance for underflow.
inline constexpr double kSmallest = std::numeric_limits<double>::min();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace dpflash::accounting
