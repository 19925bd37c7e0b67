// What a block works on, and what its rows see.
#pragma once

#include <cstdint>

#include "cuda/sm80/launch.hpp"

namespace dpflash::attention::cuda::sm80 {

/// A tile of query rows of one (sequence, head).
struct Work {
  int plane;      ///< batch heads + head: what the draws are addressed by
  int batch;      ///< the index that batch strides count: 0 when packed
  int query_row;  ///< where the sequence starts in packed tensors, 0 otherwise
  int key_row;
  int head;
  int kv_head;
  int queries;  ///< of this sequence
  int keys;
  int first_row;  ///< of the tile; may be at or past `queries`: then there is nothing to do
};

/// Tiles of `planes_together` planes follow one another longest first, so that the last ones to run are short and the
/// keys and values of the planes under way stay in the L2 cache.
__device__ __forceinline__ Work work_of_block(const Launch& launch, int tile_rows) {
  const Forward& problem = launch.problem;
  const std::uint32_t section_blocks = launch.planes_together * launch.row_tiles;
  const std::uint32_t first_plane = launch.first_plane + blockIdx.x / section_blocks * launch.planes_together;
  const std::uint32_t in_section = blockIdx.x % section_blocks;
  const auto planes = static_cast<std::uint32_t>(problem.batch * problem.heads);
  const std::uint32_t here = min(planes - first_plane, launch.planes_together);
  Work work{};
  work.plane = static_cast<int>(first_plane + in_section % here);
  const std::uint32_t tile = in_section / here;
  work.first_row = static_cast<int>(problem.window_right >= 0 ? launch.row_tiles - 1 - tile : tile) * tile_rows;
  const int sequence = work.plane / problem.heads;
  work.head = work.plane % problem.heads;
  work.kv_head = work.head / (problem.heads / problem.kv_heads);
  work.batch = sequence;
  work.queries = problem.rows;
  work.keys = problem.keys;
  if (problem.cumulative_q != nullptr) {
    work.batch = 0;
    work.query_row = problem.cumulative_q[sequence];
    work.key_row = problem.cumulative_k[sequence];
    work.queries = problem.cumulative_q[sequence + 1] - work.query_row;
    work.keys = problem.cumulative_k[sequence + 1] - work.key_row;
  }
  return work;
}

/// Row i sees keys begin(i) to end(i), not included; none when end <= begin. Both grow with i.
struct Mask {
  int offset;  ///< keys - queries: masks are aligned to the last row and the last key
  int left;
  int right;
  int keys;

  __device__ __forceinline__ Mask(const Forward& problem, const Work& work)
      : offset(work.keys - work.queries), left(problem.window_left), right(problem.window_right), keys(work.keys) {}

  __device__ __forceinline__ int begin(int row) const { return left < 0 ? 0 : max(0, row + offset - left); }
  __device__ __forceinline__ int end(int row) const { return right < 0 ? keys : min(keys, row + offset + right + 1); }
};

}  // namespace dpflash::attention::cuda::sm80
