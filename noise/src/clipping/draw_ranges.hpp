// Which draws the parameters of a gradient take.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dpflash/noise/clipping.hpp"

namespace dpflash::noise {

struct DrawRange {
  std::uint64_t first;
  std::uint64_t count;
};

/// Ranges of the tensors' draws, those of neighbouring tensors joined: refused as a whole or not at all in the common
/// case. Throws UnusableInput where tensors overlap or a draw lies beyond 2^56.
std::vector<DrawRange> draw_ranges(std::span<const TensorRows> tensors, std::uint64_t first);

}  // namespace dpflash::noise
