// Launches of the trainer's kernels: norms, clip factors, clipped sums with noise. On the caller's stream, no
// allocation, no synchronisation, safe to capture in a graph. Arithmetic: clip/clip.hpp.
#pragma once

#include <cstdint>
#include <span>

#include "dpflash/gpu/stream.hpp"
#include "kernels/draws.hpp"

namespace dpflash::gpu {

/// One tensor of per-example gradients; the prefix counts are filled in by place_gradients.
struct GradientTensor {
  const float* data;          ///< row b at data + b * stride
  float* out;                 ///< width floats, or nullptr
  double* sums;               ///< width doubles, or nullptr
  std::uint64_t width;        ///< may be 0
  std::uint64_t stride;       ///< at least width
  std::uint64_t offset;       ///< of the noise draws
  std::uint64_t first_chunk;  ///< chunks of the tensors before, of 1024 numbers
  std::uint64_t first_super;  ///< chunks of chunks
  std::uint64_t first_norm_tile;
  std::uint64_t first_sum_tile[2];  ///< for groups of 512 and of 640 draws
  std::uint32_t layer;
};

/// What the launches are told of all tensors: the arrays in device memory, the totals on the host.
struct GradientTable {
  const GradientTensor* tensors;
  std::uint32_t count;
  std::uint32_t layers;
  std::uint64_t chunks;
  std::uint64_t supers;
  std::uint64_t norm_tiles;
  std::uint64_t sum_tiles[2];
  const std::uint32_t* by_layer;     ///< [count]: tensors' numbers, layer by layer, rising inside one
  const std::uint32_t* layer_begin;  ///< [layers + 1]: where each layer starts in by_layer
};

/// Fills in the prefix counts of the tensors (host memory) and returns the totals; the pointers stay null.
GradientTable place_gradients(std::span<GradientTensor> tensors, std::uint32_t layers);

/// Bytes of work space that norms of `batch` examples need, 8-byte aligned.
std::uint64_t norm_work_bytes(const GradientTable& table, std::uint64_t batch);

/// How clip factors come from norms; reduced is [layers] in device memory (Clipping::reduced_norm).
struct ClipRule {
  const double* reduced;
  double gamma;
};

/// norms[b * layers + l] and, unless null, factors likewise: the host's bits. Reads the gradients once, the last
/// parameters last.
void gradient_norms(const GradientTable& table, std::uint64_t batch, const ClipRule& rule, void* work, double* norms,
                    float* factors, StreamHandle stream);

/// sums[j] = fma over b of factor and gradient from sums[j] on. `factors`: [batch x layers].
void add_clipped(const GradientTable& table, std::uint64_t batch, const float* factors, StreamHandle stream);

/// out[j] = float((sums[j] + fma over b of factor and gradient + scale z_j) / denominator), z_j the draw draws.first +
/// offset + j, the sums counting as 0 unless `from_sums`. `scales`: [layers] in device memory. Reads the last
/// parameters first: what gradient_norms left in the second-level cache.
void release_gradients(const GradientTable& table, std::uint64_t batch, const float* factors, const float* scales,
                       double denominator, bool from_sums, const Draws& draws, StreamHandle stream);

/// *out = sum over i < count of 1/2 where factors[i] is 1 and -1/2 elsewhere.
void centred_count(const float* factors, std::uint64_t count, double* out, StreamHandle stream);

}  // namespace dpflash::gpu
