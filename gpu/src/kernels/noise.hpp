// Launches of the noise kernels: on the caller's stream, no allocation, no synchronisation, safe to capture in a graph.
#pragma once

#include <cstdint>

#include "dpflash/gpu/stream.hpp"
#include "kernels/draws.hpp"

namespace dpflash::gpu {

/// What the elements are; noise is added in binary32 and rounded once.
enum class Element { f32, bf16, f16 };

/// One scale for all elements.
struct OneScale {
  float value;
};

/// A scale for each element, in device memory.
struct ElementScales {
  const float* values;
};

/// Segment s is [ends[s - 1], ends[s]) and has scale values[s]; the last end is the number of elements. hints[k] is the
/// segment of element k 2^kHintShift, for every such element and once more (the last segment) at the end. All arrays in
/// device memory.
struct SegmentScales {
  static constexpr unsigned kHintShift = 10;
  const std::uint64_t* ends;
  const float* values;
  const std::uint32_t* hints;
};

/// data[i] = round(fma(scale of i, z_i, data[i])) for i < size, z_i the standard normal draw first + i. `data` in
/// device memory, aligned to its element; 16-byte alignment together with first divisible by 4 is fastest. Throws
/// DeviceError when the launch fails.
void add_normal(const Draws& draws, Element element, void* data, std::uint64_t size, OneScale scale,
                StreamHandle stream);
void add_normal(const Draws& draws, Element element, void* data, std::uint64_t size, ElementScales scales,
                StreamHandle stream);
void add_normal(const Draws& draws, Element element, void* data, std::uint64_t size, SegmentScales scales,
                StreamHandle stream);

/// out[i] = z_i.
void fill_normal(const Draws& draws, float* out, std::uint64_t size, StreamHandle stream);

/// data[i] = fma(scale, l_i, data[i]), l_i the standard Laplace draw first + i; with `overwrite`, data[i] = scale l_i.
void add_laplace(const Draws& draws, float* data, std::uint64_t size, float scale, bool overwrite, StreamHandle stream);

/// next += 1 in stream order.
void advance_step(StepRange* steps, StreamHandle stream);

}  // namespace dpflash::gpu
