// Launches of the Hopper kernel: one small file a head dimension and generator.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "cuda/forward.hpp"

namespace dpflash::attention::cuda {

/// What the kernel reads beside its tensors; a parameter of the launch.
struct LaunchNumbers {
  View out;
  View clean;
  float* lse;
  const std::int32_t* cumulative_q;
  const std::int32_t* cumulative_k;
  const std::int32_t* cumulative_tiles;
  std::int64_t total_q;
  std::int64_t total_k;
  std::int32_t batch;
  std::int32_t heads;
  std::int32_t kv_heads;
  std::int32_t group;  ///< query heads a kv head
  std::int32_t head_dim;
  std::int32_t rows;
  std::int32_t keys;
  std::int32_t left;     ///< keys visible before the diagonal; -1: all
  std::int32_t right;    ///< after it, causal masks included
  std::int32_t q_tiles;  ///< tiles of the longest sequence
  std::int32_t tiles;    ///< of all sequences and heads
  std::int32_t k_tiles;  ///< flags of tiles of keys: of a kv head of a sequence, or of a kv head of all packed ones
  float scale_log2;      ///< scale log2(e)
  float softcap;
  const float* sigma_rows;
  /// Every row's clip factor, upper bits and lower: [batch, kv_heads, keys] or [kv_heads, total_k]; bf16 values have no
  /// lower ones.
  std::uint16_t* k_factors;
  std::uint16_t* v_factors;
  std::uint8_t* k_factor_ends;
  std::uint8_t* v_factor_ends;
  std::uint32_t* counters;  ///< tiles taken
  /// Whose rows of a tile of keys have factors, a bit a warp: [batch, kv_heads, k_tiles], or [kv_heads, k_tiles].
  std::uint32_t* ready;
  unsigned long long* clipped;  ///< rows of q are counted here
  PerHead<kMaxKvHeads> clip_q;
  PerHead<kMaxKvHeads> clip_k;
  PerHead<kMaxKvHeads> clip_v;
  PerHead<kMaxHeads> sigma;
};

/// Tensor maps and numbers of one launch.
struct Launch {
  CUtensorMap q;
  CUtensorMap k;
  CUtensorMap v;
  LaunchNumbers numbers;
};

/// No kernel has fewer keys a tile.
inline constexpr int kFewestKeys = 64;

/// Tiles of keys that a kv head needs flags for, of a sequence; of packed sequences together: one more each than whole
/// ones, which is never fewer than they have.
inline std::int64_t key_tiles(const Forward& problem, int keys) {
  if (problem.cumulative_k != nullptr) return problem.total_k / keys + problem.batch;
  return (std::int64_t{problem.keys} + keys - 1) / keys;
}

/// Head dimensions that have a kernel; others take the next larger one.
inline constexpr int kWidths[] = {64, 80, 96, 128, 192, 256};

/// Queues the kernel of a head dimension and generator; fills the launch's maps and counts of tiles.
template <int width, class Source>
void launch_tile(const Forward& problem, Launch& launch, gpu::StreamHandle stream);

}  // namespace dpflash::attention::cuda
