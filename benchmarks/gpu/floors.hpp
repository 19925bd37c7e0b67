// Kernels that move the bytes of a mechanism and do nothing else: what memory allows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dpflash::benchmarks {

/// Reads and writes `bytes` (a multiple of 16) in place.
void touch(void* data, std::size_t bytes);

/// Reads `extra_bytes` of `extra` beside it (multiples of 16, `extra` no longer than `data`).
void touch_with(void* data, std::size_t bytes, const void* extra, std::size_t extra_bytes);

/// Reads `bytes` (a multiple of 16) `times` times and keeps nothing.
void read(const void* data, std::size_t bytes, int times, std::uint32_t* sink);

/// out[j] = values[index[j]] + 1, j < count.
void gather(float* out, const float* values, const std::uint32_t* index, std::size_t count);
/// values[index[j]] = in[j], j < count.
void scatter(float* values, const float* in, const std::uint32_t* index, std::size_t count);

}  // namespace dpflash::benchmarks
