// What the portable kernels are told beside the problem itself.
#pragma once

#include <cstdint>

#include "cuda/forward.hpp"
#include "draw/philox.hpp"

namespace dpflash::attention::cuda::sm80 {

/// Clip factors of a kv row, rounded down; 0 for a row that is taken as zero.
struct RowFactors {
  float key;
  float value;
};

/// Passed by value to every block: below the 4 KiB that parameters of a kernel may take on all devices.
struct Launch {
  Forward problem;                    ///< window_right holds the causal mask too; limits that hide nothing are -1
  RowFactors* factors = nullptr;      ///< [batch, kv_heads, keys], or [kv_heads, total_k] when packed; null: only count
  float score_scale = 0;              ///< with a query's clip factor: to log2 of p, or to the argument of tanh
  float softcap_log2 = 0;             ///< softcap log2(e)
  std::uint32_t row_tiles = 0;        ///< tiles of query rows of a sequence
  std::uint32_t planes_together = 1;  ///< (sequence, head) pairs whose tiles are started longest first
  std::uint32_t first_plane = 0;      ///< of this launch, when there are more blocks than one launch can hold
  draw::Philox::Key philox_key = {};
  bool aligned_q = false;  ///< every row starts at a multiple of 16 bytes
  bool aligned_k = false;
  bool aligned_v = false;
  bool aligned_out = false;
  bool aligned_clean = false;
};
static_assert(sizeof(Launch) <= 4096);

/// Element of the first row of a sequence's head.
template <class T>
__host__ __device__ inline T* first_of(const View& view, std::int64_t batch, std::int64_t row, std::int64_t head) {
  return static_cast<T*>(view.data) + batch * view.batch_stride + row * view.row_stride + head * view.head_stride;
}

/// Fills launch.factors where there are any; counts clipped rows of k and v.
void launch_factors(const Launch& launch, gpu::StreamHandle stream);

/// The attention itself: one instantiation an element type and padded head_dim.
template <class T, int head_dim>
void launch_attention(Launch& launch, gpu::StreamHandle stream);

/// Blocks of one launch at most.
inline constexpr std::uint64_t kMostBlocks = std::uint64_t{1} << 30;

/// Calls start(first plane, blocks) for slices of whole sections of `together` planes until all planes are started;
/// together * tiles <= kMostBlocks.
template <class Start>
void in_slices(std::uint64_t planes, std::uint32_t tiles, std::uint32_t together, Start&& start) {
  if (tiles == 0) return;
  const std::uint64_t most = kMostBlocks / (std::uint64_t{tiles} * together) * together;
  for (std::uint64_t first = 0; first < planes; first += most) {
    const std::uint64_t here = planes - first < most ? planes - first : most;
    start(static_cast<std::uint32_t>(first), static_cast<unsigned>(here * tiles));
  }
}

}  // namespace dpflash::attention::cuda::sm80
