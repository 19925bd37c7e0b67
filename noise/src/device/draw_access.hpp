// From a DrawFrom to what a kernel is told, its draws claimed.
#pragma once

#include <span>

#include "clipping/draw_ranges.hpp"
#include "dpflash/noise/device.hpp"
#include "kernels/draws.hpp"

namespace dpflash::noise {

/// Draws that one launch may take.
struct TakenDraws {
  gpu::Draws draws;
  gpu::StepRange* counter = nullptr;  ///< of a graph's launch
};

struct DrawAccess {
  static std::uint64_t first(const DrawFrom& from) { return from.position_.first; }
  /// Claims the ranges, at every step of a graph; the launch's draws start at `first`.
  static TakenDraws take(const DrawFrom& from, std::uint64_t first, std::span<const DrawRange> ranges);
  /// Claims draws position.first + skip + [0, count).
  static TakenDraws take(const DrawFrom& from, std::uint64_t skip, std::uint64_t count);
  /// To be called after the launch: moves a graph's counter on.
  static void launched(const TakenDraws& taken, gpu::StreamHandle stream);
};

}  // namespace dpflash::noise
