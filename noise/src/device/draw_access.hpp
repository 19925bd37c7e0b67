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
  /// Claims the ranges, at every step of a graph; the launch's draws start at `first`. All three refuse a plain
  /// position on a stream that is being captured, before they claim: every replay would draw the same noise.
  static TakenDraws take(const DrawFrom& from, std::uint64_t first, std::span<const DrawRange> ranges,
                         gpu::StreamHandle stream);
  /// Claims draws position.first + skip + [0, count).
  static TakenDraws take(const DrawFrom& from, std::uint64_t skip, std::uint64_t count, gpu::StreamHandle stream);
  /// Claims all attention draws of the step, or of every step of a graph. position.first must be 0.
  static TakenDraws take_attention(const DrawFrom& from, gpu::StreamHandle stream);
  /// To be called after the launch: moves a graph's counter on.
  static void launched(const TakenDraws& taken, gpu::StreamHandle stream);

 private:
  /// Steps that a call draws at; refuses a graph's launch too many.
  static std::uint32_t steps_to_claim(const DrawFrom& from, gpu::StreamHandle stream);
  /// What the kernel is told, after the claim.
  static TakenDraws claimed(const DrawFrom& from, std::uint64_t first);
};

}  // namespace dpflash::noise
