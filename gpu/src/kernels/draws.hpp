// What a kernel that draws is told, and how it finds the step it draws at.
#pragma once

#include <cstdint>

#include "draw/counter.hpp"

namespace dpflash::gpu {

/// Steps that a captured graph may still use: kernels read `next`, `advance_step` moves it on. Draws at or past `end`
/// are NaN: noise is never used twice and never left out.
struct StepRange {
  std::uint32_t next;
  std::uint32_t end;
};

/// The draws of one launch: number `first` onwards of `stream` at `step`, or at the device's own step when there is
/// one.
struct Draws {
  draw::Bits bits = draw::Bits::chacha20;
  draw::KeyWords key = {};
  std::uint32_t stream = 0;
  std::uint32_t step = 0;
  std::uint64_t first = 0;
  const StepRange* device_step = nullptr;  ///< in device memory
};

}  // namespace dpflash::gpu
