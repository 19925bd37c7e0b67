// Clip factors of all rows of k and v, eight lanes a row: one pass over both, before the attention.
#include <cstdint>

#include "cuda/sm80/clip.cuh"
#include "cuda/sm80/launch.hpp"
#include "dpflash/gpu/error.hpp"

namespace dpflash::attention::cuda::sm80 {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = kThreads / kNormLanes;

/// Eight elements at any multiple of two bytes.
template <class T>
__device__ __forceinline__ uint4 load_chunk(const T* p, bool aligned) {
  if (aligned) return __ldg(reinterpret_cast<const uint4*>(p));
  const auto* const halves = reinterpret_cast<const unsigned short*>(p);
  std::uint32_t pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) pairs[i] = halves[2 * i] | (static_cast<std::uint32_t>(halves[2 * i + 1]) << 16);
  return {pairs[0], pairs[1], pairs[2], pairs[3]};
}

template <class T>
__device__ __forceinline__ float squares_of(const T* row, int head_dim, bool aligned) {
  float sum = 0;
#pragma unroll 4
  for (int d = static_cast<int>(threadIdx.x) % kNormLanes * 8; d < head_dim; d += kNormLanes * 8)
    sum = add_squares<T>(load_chunk(row + d, aligned), sum);
  return sum;
}

/// A block takes kRows rows of one head: of a sequence, or of the packed tensors.
template <class T>
__global__ void __launch_bounds__(kThreads)
    factors_kernel(const __grid_constant__ Launch launch, std::int64_t rows, std::uint32_t tiles) {
  const Forward& problem = launch.problem;
  const std::uint32_t plane = launch.first_plane + blockIdx.x / tiles;
  const std::uint32_t batch = plane / static_cast<std::uint32_t>(problem.kv_heads);
  const auto head = static_cast<int>(plane % static_cast<std::uint32_t>(problem.kv_heads));
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x % tiles) * kRows + threadIdx.x / kNormLanes;
  bool exists = row < rows;
  // Rows of packed tensors that no sequence owns are nobody's.
  if (exists && problem.cumulative_k != nullptr)
    exists = row >= problem.cumulative_k[0] && row < problem.cumulative_k[problem.batch];
  float squares[2] = {0, 0};
  if (exists) {
    squares[0] = squares_of(first_of<const T>(problem.k, batch, row, head), problem.head_dim, launch.aligned_k);
    squares[1] = squares_of(first_of<const T>(problem.v, batch, row, head), problem.head_dim, launch.aligned_v);
  }
  RowFactors factors{};
  factors.key = clip_factor(sum_of_lanes(squares[0]), problem.clip_k.value[head], problem.head_dim);
  factors.value = clip_factor(sum_of_lanes(squares[1]), problem.clip_v.value[head], problem.head_dim);
  if (problem.element == Element::bf16 && factors.value < kLeastValueFactor) factors.value = 0;
  const bool writes = exists && threadIdx.x % kNormLanes == 0;
  if (writes && launch.factors != nullptr) launch.factors[plane * rows + row] = factors;
  if (problem.clipped == nullptr) return;
  const int keys = __syncthreads_count(writes && factors.key < 1);
  const int values = __syncthreads_count(writes && factors.value < 1);
  if (threadIdx.x != 0) return;
  if (keys != 0) atomicAdd(problem.clipped + 3 * head + 1, static_cast<unsigned long long>(keys));
  if (values != 0) atomicAdd(problem.clipped + 3 * head + 2, static_cast<unsigned long long>(values));
}

}  // namespace

void launch_factors(const Launch& launch, gpu::StreamHandle stream) {
  const Forward& problem = launch.problem;
  const bool packed = problem.cumulative_k != nullptr;
  const std::int64_t rows = packed ? problem.total_k : problem.keys;
  const std::uint64_t planes =
      static_cast<std::uint64_t>(packed ? 1 : problem.batch) * static_cast<std::uint64_t>(problem.kv_heads);
  const auto tiles = static_cast<std::uint32_t>((rows + kRows - 1) / kRows);
  in_slices(planes, tiles, 1, [&](std::uint32_t first, unsigned blocks) {
    Launch slice = launch;
    slice.first_plane = first;
    if (problem.element == Element::bf16)
      factors_kernel<__nv_bfloat16><<<blocks, kThreads, 0, stream>>>(slice, rows, tiles);
    else
      factors_kernel<__half><<<blocks, kThreads, 0, stream>>>(slice, rows, tiles);
    gpu::check_launch("attention factors");
  });
}

}  // namespace dpflash::attention::cuda::sm80
