#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda/sm90/launch.hpp"
#include "cuda/sm90/maps.hpp"
#include "dpflash/gpu/error.hpp"
#include "draw/chacha.hpp"
#include "draw/philox.hpp"

namespace dpflash::attention::cuda {
namespace {

constexpr std::size_t align(std::size_t bytes) { return (bytes + 15) / 16 * 16; }

std::int64_t planes_of(const Forward& problem) { return std::int64_t{problem.batch} * problem.kv_heads; }

std::size_t rows_of(const Forward& problem) {
  return static_cast<std::size_t>(problem.cumulative_k != nullptr ? problem.total_k * problem.kv_heads
                                                                  : planes_of(problem) * problem.keys);
}

/// Where parts of the workspace begin.
struct Workspace {
  std::size_t zeroed = 0;  ///< bytes from the start that are zeroed before the launch: a counter, and flags of tiles
  std::size_t v_factors = 0;
  std::size_t k_factor_ends = 0;
  std::size_t v_factor_ends = 0;
  std::size_t bytes = 0;
};

Workspace workspace_of(const Forward& problem) {
  const std::int64_t heads = problem.cumulative_k != nullptr ? problem.kv_heads : planes_of(problem);
  Workspace w;
  w.zeroed = align(4 * (1 + static_cast<std::size_t>(heads * key_tiles(problem, kFewestKeys))));
  w.v_factors = w.zeroed + 2 * rows_of(problem);
  w.k_factor_ends = w.v_factors + 2 * rows_of(problem);
  w.v_factor_ends = w.k_factor_ends + rows_of(problem);
  w.bytes = align(w.v_factor_ends + (problem.element == Element::f16 ? rows_of(problem) : 0));
  return w;
}

int right_limit(const Forward& problem) {
  if (!problem.causal) return problem.window_right;
  return problem.window_right < 0 ? 0 : std::min(0, problem.window_right);
}

LaunchNumbers numbers_of(const Forward& problem, void* workspace) {
  LaunchNumbers n = {};
  n.out = problem.out;
  n.clean = problem.clean;
  n.lse = problem.lse;
  n.cumulative_q = problem.cumulative_q;
  n.cumulative_k = problem.cumulative_k;
  n.cumulative_tiles = problem.cumulative_tiles;
  n.total_q = problem.total_q;
  n.total_k = problem.total_k;
  n.batch = problem.batch;
  n.heads = problem.heads;
  n.kv_heads = problem.kv_heads;
  n.group = problem.heads / problem.kv_heads;
  n.head_dim = problem.head_dim;
  n.rows = problem.rows;
  n.keys = problem.keys;
  n.left = problem.window_left;
  n.right = right_limit(problem);
  n.scale_log2 = static_cast<float>(static_cast<double>(problem.scale) * 1.4426950408889634);
  n.softcap = problem.softcap;
  n.sigma_rows = problem.sigma_rows;
  const Workspace w = workspace_of(problem);
  char* const at = static_cast<char*>(workspace);
  n.counters = static_cast<std::uint32_t*>(workspace);
  n.ready = n.counters + 1;
  n.k_factors = reinterpret_cast<std::uint16_t*>(at + w.zeroed);
  n.v_factors = reinterpret_cast<std::uint16_t*>(at + w.v_factors);
  n.k_factor_ends = reinterpret_cast<std::uint8_t*>(at + w.k_factor_ends);
  n.v_factor_ends = reinterpret_cast<std::uint8_t*>(at + w.v_factor_ends);
  n.clipped = problem.clipped;
  n.clip_q = problem.clip_q;
  n.clip_k = problem.clip_k;
  n.clip_v = problem.clip_v;
  n.sigma = problem.sigma;
  return n;
}

template <class Source>
void launch_width(const Forward& problem, Launch& launch, gpu::StreamHandle stream) {
  const int width = *std::find_if(std::begin(kWidths), std::end(kWidths), [&](int w) { return w >= problem.head_dim; });
  switch (width) {
    case 64:
      return launch_tile<64, Source>(problem, launch, stream);
    case 80:
      return launch_tile<80, Source>(problem, launch, stream);
    case 96:
      return launch_tile<96, Source>(problem, launch, stream);
    case 128:
      return launch_tile<128, Source>(problem, launch, stream);
    case 192:
      return launch_tile<192, Source>(problem, launch, stream);
    default:
      return launch_tile<256, Source>(problem, launch, stream);
  }
}

}  // namespace

std::size_t workspace_bytes_sm90(const Forward& problem) { return workspace_of(problem).bytes; }

bool takes_sm90(const Forward& problem) {
  const auto writes = [](const View& view) {
    return reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 && view.row_stride % 8 == 0 &&
           view.head_stride % 8 == 0 && view.batch_stride % 8 == 0;
  };
  const auto counted = [](std::int64_t planes, std::int64_t rows) {
    return planes * ((rows + 63) / 64) < std::numeric_limits<std::int32_t>::max();
  };
  return problem.head_dim <= 256 && problem.head_dim % 8 == 0 &&
         counted(planes_of(problem), 2 * std::int64_t{problem.keys}) &&
         counted(std::int64_t{problem.batch} * problem.heads, problem.rows) && takes_view(problem.q, problem, true) &&
         takes_view(problem.k, problem, false) && takes_view(problem.v, problem, false) && writes(problem.out) &&
         (problem.clean.data == nullptr || writes(problem.clean));
}

void forward_sm90(const Forward& problem, void* workspace, gpu::StreamHandle stream) {
  if (problem.rows == 0 || problem.batch == 0) return;
  if (problem.clipped != nullptr) count_clipped_rows(problem, stream);
  Launch launch = {};
  launch.numbers = numbers_of(problem, workspace);
  gpu::check(cudaMemsetAsync(workspace, 0, workspace_of(problem).zeroed, stream), "cudaMemsetAsync");
  switch (problem.draws.bits) {
    case draw::Bits::philox:
      return launch_width<draw::Philox>(problem, launch, stream);
    case draw::Bits::chacha12:
      return launch_width<draw::ChaCha<12>>(problem, launch, stream);
    case draw::Bits::chacha20:
      return launch_width<draw::ChaCha<20>>(problem, launch, stream);
  }
}

}  // namespace dpflash::attention::cuda
