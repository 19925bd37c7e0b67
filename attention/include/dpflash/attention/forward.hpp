// Differentially private attention on a CUDA device, one launch. Only in builds with CUDA: they define
// DPFLASH_HAS_CUDA. What is computed is defined in reference.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/attention/sensitivity.hpp>
#include <dpflash/attention/shape.hpp>
#include <dpflash/attention/tensor.hpp>
#include <dpflash/gpu/stream.hpp>
#include <dpflash/noise/device.hpp>
#include <optional>
#include <span>
#include <vector>

namespace dpflash::attention {

class NoiseTable;

/// Element type of q, k, v, the output and the clean output.
enum class Element {
  bf16,  ///< largest clipped score 70
  f16    ///< largest clipped score 9.7
};

/// Which kernel runs. `automatic`: the Hopper kernel on compute capability 9.0 where it takes the problem (16-byte
/// alignment of every row), the other one elsewhere. Both draw the same noise; clean values differ by rounding.
enum class Path { automatic, sm80, sm90 };

/// Device pointers of one call; element (b, i, h, d) as in tensor.hpp. Inputs may overlap each other, and have strides
/// of 0 where an index does not matter; outputs overlap nothing. Pointers of tensors without elements may be null.
struct ForwardTensors {
  Tensor<const void> q;  ///< [batch, queries, heads, head_dim], packed [total queries, heads, head_dim]
  Tensor<const void> k;  ///< [batch, keys, kv_heads, head_dim], packed [total keys, kv_heads, head_dim]
  Tensor<const void> v;  ///< as k
  Tensor<void> out;      ///< as q: the private answer
  /// As q, or data null: the answer without noise. PRIVATE: never to be released.
  Tensor<void> clean;
  /// Natural logarithms of the sums of exponentials of the clipped scores, or null: [batch, heads, queries] without
  /// gaps, packed [heads, total queries]. -infinity where a row sees nothing. PRIVATE.
  float* lse = nullptr;
  /// [kv_heads, 3] or null: rows of q, k and v that were clipped or taken as zero are *added* to it, a query row once a
  /// query head. PRIVATE.
  unsigned long long* clipped = nullptr;
};

/// Public numbers of one call. Beyond what shape.hpp allows, a launch asks for: heads at most 256, kv_heads at most
/// 128, head_dim a multiple of 8 in [8, 256], sequences times heads at most 2^22, at most 2^31 - 1 rows in packed
/// tensors; clips, softcap and |scale| in [2^-40, 2^40]; |scale| C_q C_k, or what the softcap leaves of it, within the
/// element's range, and exp(largest score) times the most keys times C_v at most e^88, so that sums do not overflow.
struct ForwardOptions {
  Shape shape;
  Clips clips;
  Element element = Element::bf16;
  /// Sequences lie one after the other with their own lengths. Otherwise all lengths are the same.
  bool packed = false;
  Path path = Path::automatic;
};

/// Noise of an output, where a launch can read it.
class DeviceNoise {
 public:
  /// The noise of a table. A call with it must have the shape and clips that the table was made for, lengths apart,
  /// each of which must be one of the table's; and the table's analysis must be charged with at least
  /// kernel_precision() of the call's element type. Allocates, uploads and waits when the table has a number a row.
  /// Throws DeviceError.
  DeviceNoise(const NoiseTable& table, gpu::StreamHandle stream);
  /// Standard deviations as stated, one a query head: what they cost is the caller's to know (sensitivity.hpp). Each
  /// is a normal float above 0. Throws UnusableInput.
  static DeviceNoise stated(std::span<const float> per_head);
  /// As stated, [heads, rows] in this order: number (h, i) is for row i of every sequence. Allocates, uploads and
  /// waits. Throws UnusableInput, DeviceError.
  static DeviceNoise stated(std::span<const float> table, std::int32_t heads, gpu::StreamHandle stream);

  [[nodiscard]] std::int32_t heads() const noexcept { return heads_; }
  /// Rows of the table; 0 when there is one number a head.
  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }

 private:
  friend struct NoiseAccess;
  DeviceNoise() = default;
  std::int32_t heads_ = 0;
  std::int64_t rows_ = 0;
  std::vector<float> per_head_;
  gpu::Buffer<float> table_;
  std::optional<SensitivityQuestion> question_;  ///< of a table; its lengths sorted, each once
  bool charged_[2] = {false, false};             ///< whether it has the charges of bf16, f16
};

/// Bytes of device memory that forward() works in on the current device, 16-byte aligned, for these tensors and
/// options; contents irrelevant. May be 0. Throws as forward() does.
std::size_t workspace_bytes(const ForwardTensors& tensors, const ForwardOptions& options);

/// out = round(clean + sigma z), z drawn at the (stream, step) of `from`, whose position.first must be 0: an
/// attention output has all of its (stream, step), in a counter range of its own that no other mechanism draws from.
/// One pass over q, k, v; work O(pairs of a query and a key that it sees). Work is queued on `stream` of the current
/// device and has not run when the call returns; nothing is allocated or waited for, and the call can be captured in a
/// CUDA graph (with GraphSteps: a new step each replay, NaN past the last). `workspace` belongs to the call until it
/// has run; what it then holds, clip factors of keys and values, is private. A bf16 value longer than 2^24 times its
/// clip counts as zero.
///
/// Everything is checked first, then draws are claimed, then work is queued. Throws UnusableInput naming the field,
/// noise::ReusedNoise when attention was drawn at this (stream, step) before, gpu::DeviceError when the device has no
/// kernel for this or a launch fails: the output must not be used then.
void forward(const ForwardTensors& tensors, const ForwardOptions& options, const DeviceNoise& noise,
             const noise::DrawFrom& from, gpu::DeviceSpan<std::byte> workspace, gpu::StreamHandle stream);

/// The kernel that forward() would take: sm80 or sm90. Throws as workspace_bytes() does.
Path chosen_path(const ForwardTensors& tensors, const ForwardOptions& options);

}  // namespace dpflash::attention
