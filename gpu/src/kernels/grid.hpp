// Launches of the integer grid's kernels: on the caller's stream, no allocation, no synchronisation, safe to capture in
// a graph. Integer is std::int64_t or std::int32_t; sums are modulo 2^64 or 2^32.
#pragma once

#include <cstdint>

#include "dpflash/gpu/stream.hpp"
#include "kernels/draws.hpp"

namespace dpflash::gpu {

/// data[i] += grid draw first + i of standard deviation `scale`, a power of two; the most negative integer at or past
/// the end of the device's steps.
void add_grid_normal(const Draws& draws, std::int64_t* data, std::uint64_t size, double scale, StreamHandle stream);
void add_grid_normal(const Draws& draws, std::int32_t* data, std::uint64_t size, double scale, StreamHandle stream);

/// Rows of contributions and how they are rounded.
struct GridRows {
  const float* data;
  std::uint64_t width;
  std::uint64_t stride;
  std::uint32_t batch;
  double per_unit;
  std::int64_t integer_clip;
};

/// Bytes of work space for rows of this width, 8-byte aligned.
std::uint64_t grid_work_bytes(std::uint64_t width, std::uint64_t batch);
/// Clips and rounds every row as the host does, and adds it up: sum[j] += integer j of every row.
void add_grid_rows(const GridRows& rows, void* work, std::int64_t* sum, StreamHandle stream);
void add_grid_rows(const GridRows& rows, void* work, std::int32_t* sum, StreamHandle stream);

/// out[i] = float(sum[i] * unit), in double.
void scale_integers(const std::int64_t* sum, std::uint64_t size, double unit, float* out, StreamHandle stream);
void scale_integers(const std::int32_t* sum, std::uint64_t size, double unit, float* out, StreamHandle stream);

}  // namespace dpflash::gpu
