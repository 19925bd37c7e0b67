// What a forward launch is told: device pointers and public numbers. Filled by attention/src, read by the kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dpflash/gpu/stream.hpp"
#include "kernels/draws.hpp"

namespace dpflash::attention::cuda {

inline constexpr int kMaxHeads = 256;
inline constexpr int kMaxKvHeads = 128;

/// A bf16 value whose clip factor is less counts as zero: with scores of at least -70 the products of probabilities and
/// clip factors are then normal numbers, which rounding to nearest moves by half an ulp of theirs.
inline constexpr float kLeastValueFactor = 0x1p-24f;

/// Queries a tile of the Hopper kernel.
inline constexpr std::int32_t kQueryTile = 128;

enum class Element { bf16, f16 };

/// Element (b, i, h, d) is at data + b batch_stride + i row_stride + h head_stride + d, strides in elements. With
/// cumulative lengths there is no batch: row i of sequence b is at cumulative[b] + i.
struct View {
  void* data = nullptr;
  std::int64_t batch_stride = 0;
  std::int64_t row_stride = 0;
  std::int64_t head_stride = 0;
};

/// One number a head.
template <int count>
struct PerHead {
  float value[count];
};

struct Forward {
  Element element = Element::bf16;
  View q;
  View k;
  View v;
  View out;              ///< clean + sigma z, rounded once
  View clean;            ///< data may be null: the answer without noise, private
  float* lse = nullptr;  ///< natural log of the sum of exponentials, private; [batch, heads, rows] or [heads, total_q]
  std::int32_t batch = 0;  ///< sequences
  std::int32_t heads = 0;
  std::int32_t kv_heads = 0;
  std::int32_t head_dim = 0;
  std::int32_t rows = 0;  ///< queries a sequence; with cumulative lengths the most of any sequence
  std::int32_t keys = 0;
  const std::int32_t* cumulative_q = nullptr;  ///< device, batch + 1 numbers; both or neither
  const std::int32_t* cumulative_k = nullptr;
  const std::int32_t* cumulative_tiles = nullptr;  ///< tiles of queries of the sequences before, likewise
  std::int32_t packed_tiles = 0;                   ///< of all sequences: the last of them
  std::int64_t total_q = 0;                        ///< rows of packed tensors
  std::int64_t total_k = 0;
  bool causal = false;
  std::int32_t window_left = -1;
  std::int32_t window_right = -1;
  float scale = 1;
  float softcap = 0;  ///< 0: none
  PerHead<kMaxKvHeads> clip_q = {};
  PerHead<kMaxKvHeads> clip_k = {};
  PerHead<kMaxKvHeads> clip_v = {};
  PerHead<kMaxHeads> sigma = {};      ///< noise of a query head, when there is no table
  const float* sigma_rows = nullptr;  ///< device, [heads, rows]: noise of row i of every sequence
  gpu::Draws draws;
  /// Device, [kv_heads, 3] or null: rows of q, k, v that were clipped or zeroed, added up. Private: for debugging.
  unsigned long long* clipped = nullptr;
};

/// Bytes of device memory that a launch works in, beside its tensors; 16-byte aligned, contents irrelevant.
std::size_t workspace_bytes_sm90(const Forward& problem);
std::size_t workspace_bytes_sm80(const Forward& problem);

/// Whether the Hopper kernel takes this problem (alignment of its copies: 16 bytes; head_dim).
bool takes_sm90(const Forward& problem);

/// Queue the work on the stream: no allocation, no synchronisation, safe to capture. Throw DeviceError when a launch
/// fails. `problem` has been checked.
void forward_sm90(const Forward& problem, void* workspace, gpu::StreamHandle stream);
void forward_sm80(const Forward& problem, void* workspace, gpu::StreamHandle stream);

/// Adds to `clipped` the rows of k and v that are clipped or zeroed: a pass of its own, for debugging.
void count_clipped_rows(const Forward& problem, gpu::StreamHandle stream);

}  // namespace dpflash::attention::cuda
