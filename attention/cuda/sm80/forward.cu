#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <limits>

#include "cuda/sm80/launch.hpp"

namespace dpflash::attention::cuda {
namespace sm80 {
namespace {

std::size_t kv_rows(const Forward& problem) {
  const std::int64_t rows =
      problem.cumulative_k != nullptr ? problem.total_k : static_cast<std::int64_t>(problem.batch) * problem.keys;
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(problem.kv_heads);
}

/// Whether all rows start at multiples of 16 bytes.
bool aligned(const View& view, bool packed) {
  const std::int64_t strides = view.row_stride | view.head_stride | (packed ? 0 : view.batch_stride);
  return reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 && strides % 8 == 0;
}

/// Windows count from a diagonal within 2^28 of any row: sides of 2^29 and more hide nothing.
std::int32_t side(std::int32_t window) { return window < 0 || window >= (1 << 29) ? -1 : window; }

/// Planes whose keys and values take about 16 MiB: well within the L2 cache of a large device.
std::uint32_t planes_together(const Forward& problem) {
  if (problem.window_right < 0) return 1;
  const double planes = static_cast<double>(problem.batch) * problem.heads;
  const double bytes = 4.0 * problem.head_dim * problem.keys * problem.kv_heads / problem.heads;
  return static_cast<std::uint32_t>(std::fmin(std::fmax(std::fmin(16.0 * 1048576 / (bytes + 1), 1024.0), 1.0), planes));
}

Launch prepare(const Forward& problem, void* workspace) {
  Launch launch;
  launch.problem = problem;
  launch.problem.window_left = side(problem.window_left);
  launch.problem.window_right = side(problem.window_right);
  if (problem.causal) launch.problem.window_right = 0;
  launch.factors = static_cast<RowFactors*>(workspace);
  constexpr double log2_e = 1.4426950408889634;
  constexpr double most = std::numeric_limits<float>::max();
  const double scale = problem.softcap > 0 ? static_cast<double>(problem.scale) / problem.softcap
                                           : static_cast<double>(problem.scale) * log2_e;
  launch.score_scale = static_cast<float>(std::fmin(std::fmax(scale, -most), most));
  launch.softcap_log2 = problem.softcap > 0 ? static_cast<float>(std::fmin(problem.softcap * log2_e, most)) : 0.0f;
  launch.planes_together = planes_together(launch.problem);
  launch.philox_key = draw::Philox::expand(problem.draws.key);
  const bool packed = problem.cumulative_q != nullptr;
  launch.aligned_q = aligned(problem.q, packed);
  launch.aligned_k = aligned(problem.k, packed);
  launch.aligned_v = aligned(problem.v, packed);
  launch.aligned_out = aligned(problem.out, packed);
  launch.aligned_clean = aligned(problem.clean, packed);
  return launch;
}

template <class T>
void launch_padded(Launch& launch, gpu::StreamHandle stream) {
  switch ((launch.problem.head_dim + 31) / 32) {
    case 1:
      return launch_attention<T, 32>(launch, stream);
    case 2:
      return launch_attention<T, 64>(launch, stream);
    case 3:
      return launch_attention<T, 96>(launch, stream);
    case 4:
      return launch_attention<T, 128>(launch, stream);
    case 5:
      return launch_attention<T, 160>(launch, stream);
    case 6:
      return launch_attention<T, 192>(launch, stream);
    case 7:
      return launch_attention<T, 224>(launch, stream);
    default:
      return launch_attention<T, 256>(launch, stream);
  }
}

}  // namespace
}  // namespace sm80

std::size_t workspace_bytes_sm80(const Forward& problem) {
  return (sm80::kv_rows(problem) * sizeof(sm80::RowFactors) + 15) / 16 * 16;
}

void forward_sm80(const Forward& problem, void* workspace, gpu::StreamHandle stream) {
  if (problem.batch == 0 || problem.heads == 0 || problem.rows == 0) return;
  sm80::Launch launch = sm80::prepare(problem, workspace);
  sm80::launch_factors(launch, stream);
  if (problem.element == Element::bf16)
    sm80::launch_padded<__nv_bfloat16>(launch, stream);
  else
    sm80::launch_padded<__half>(launch, stream);
}

void count_clipped_rows(const Forward& problem, gpu::StreamHandle stream) {
  if (problem.batch == 0) return;
  sm80::launch_factors(sm80::prepare(problem, nullptr), stream);
}

}  // namespace dpflash::attention::cuda
