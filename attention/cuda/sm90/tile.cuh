// Sizes of the Hopper kernel, and which keys a tile of queries meets.
#pragma once

#include "cuda/sm90/launch.hpp"

namespace dpflash::attention::cuda {

/// One kernel: head dimension up to `width` (a multiple of 16), `keys` a tile, `stages` tiles of K and of V on their
/// way.
template <int width_, int keys_, int stages_>
struct Tile {
  static constexpr int width = width_;
  static constexpr int keys = keys_;
  static constexpr int stages = stages_;
  static constexpr int groups = 2;                  ///< warpgroups of 64 rows each
  static constexpr int rows = 64 * groups;          ///< queries a tile
  static constexpr int panels = (width + 63) / 64;  ///< 64 columns, 128 bytes
  static constexpr int column_blocks = (width + 31) / 32;
  static constexpr int threads = 128 * (groups + 1);
  /// Registers a thread: in all as many as the 168 that a launch of 384 threads has.
  static constexpr int compute_registers = width > 192 ? 232 : 224;
  static constexpr int feed_registers = 3 * 168 - groups * compute_registers;
  static constexpr int batches = (keys + 31) / 32;  ///< of 32 keys, whose factors a warp computes at once
  // Shared memory, in bytes.
  static constexpr int q_bytes = panels * rows * 128;
  static constexpr int kv_bytes = panels * keys * 128;
  static constexpr int factor_bytes = keys * 4;
  static constexpr int k_at = q_bytes;
  static constexpr int v_at = k_at + stages * kv_bytes;
  static constexpr int k_factors_at = v_at + stages * kv_bytes;
  static constexpr int v_factors_at = k_factors_at + stages * factor_bytes;
  static constexpr int barriers_at = v_factors_at + 2 * factor_bytes;
  static constexpr int barrier_bytes = 320;
  static constexpr int shared_bytes = barriers_at + barrier_bytes;
  static_assert(keys % 16 == 0);
  static_assert(shared_bytes <= 232448);
};

/// The tile of each head dimension that has a kernel.
template <int width>
struct TileOf;
template <>
struct TileOf<64> : Tile<64, 128, 4> {};
template <>
struct TileOf<80> : Tile<80, 128, 2> {};
template <>
struct TileOf<96> : Tile<96, 128, 2> {};
template <>
struct TileOf<128> : Tile<128, 128, 3> {};
template <>
struct TileOf<192> : Tile<192, 80, 2> {};
template <>
struct TileOf<256> : Tile<256, 80, 2> {};

/// A tile of queries and the tiles of keys that any of its rows sees.
struct Work {
  int batch;
  int head;
  int first;     ///< row of the sequence
  int rows;      ///< of the sequence
  int keys;      ///< of the sequence
  int q_offset;  ///< row of the tensor where the sequence begins
  int k_offset;
  int begin;  ///< tiles of keys [begin, end)
  int end;
  int start;     ///< the tile of keys that comes first; the others follow in turn, `begin` after the last
  int diagonal;  ///< keys - rows
};

__device__ __forceinline__ int first_visible(const LaunchNumbers& n, const Work& w, int row) {
  return n.left < 0 ? 0 : max(0, row + w.diagonal - n.left);
}
__device__ __forceinline__ int last_visible(const LaunchNumbers& n, const Work& w, int row) {
  return n.right < 0 ? w.keys : min(w.keys, row + w.diagonal + n.right + 1);
}

/// The tile of keys after `tile`.
__device__ __forceinline__ int following_tile(const Work& w, int tile) {
  return tile + 1 == w.end ? w.begin : tile + 1;
}

/// A value that the compiler does not recognise as one it has.
__device__ __forceinline__ int opaque(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

/// batch * heads + head.
__device__ __forceinline__ std::uint64_t plane_of(const LaunchNumbers& n, const Work& w) {
  return static_cast<std::uint64_t>(w.batch) * static_cast<unsigned>(n.heads) + static_cast<unsigned>(w.head);
}

/// Tile number t: heads in order, within a head the longest rows of a causal mask first, so that short ones fill the
/// end.
template <class T>
__device__ __forceinline__ Work work_of(const LaunchNumbers& n, int t) {
  Work w;
  const int plane = t / n.q_tiles;
  const int m = n.q_tiles - 1 - (t - plane * n.q_tiles);
  w.batch = plane / n.heads;
  w.head = plane - w.batch * n.heads;
  w.first = m * T::rows;
  w.rows = n.rows;
  w.keys = n.keys;
  w.q_offset = 0;
  w.k_offset = 0;
  if (n.cumulative_q != nullptr) {
    w.q_offset = n.cumulative_q[w.batch];
    w.rows = n.cumulative_q[w.batch + 1] - w.q_offset;
    w.k_offset = n.cumulative_k[w.batch];
    w.keys = n.cumulative_k[w.batch + 1] - w.k_offset;
  }
  w.diagonal = w.keys - w.rows;
  const int last_row = min(w.first + T::rows, w.rows) - 1;
  const int low = first_visible(n, w, w.first);
  const int high = last_visible(n, w, last_row);
  w.begin = low / T::keys;
  w.end = high > low ? (high + T::keys - 1) / T::keys : w.begin;
  // Blocks that work on one head at a time begin at different keys: each then finds the factors of the tiles that
  // others began with.
  w.start = w.end > w.begin ? w.begin + m % (w.end - w.begin) : w.begin;
  return w;
}

}  // namespace dpflash::attention::cuda
