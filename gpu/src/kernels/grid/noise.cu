#include <limits>
#include <type_traits>

#include "dpflash/gpu/error.hpp"
#include "draw/grid_normal.hpp"
#include "kernels/grid.hpp"
#include "kernels/normals.cuh"
#include "kernels/sources.hpp"

namespace dpflash::gpu {

namespace {

constexpr unsigned kThreads = 128;

/// A thread a block of words; lanes of a warp touch runs of 64 neighbouring elements.
template <class Source, class Integer>
__global__ void __launch_bounds__(kThreads)
    grid_normal_kernel(Integer* data, std::uint64_t size, const __grid_constant__ DrawRun<Source> run, double scale) {
  using Unsigned = std::make_unsigned_t<Integer>;
  constexpr std::uint32_t tile = 16u * Source::words;
  const std::uint64_t block = run.first / tile * 32 + static_cast<std::uint64_t>(blockIdx.x) * kThreads + threadIdx.x;
  std::uint32_t step = run.step;
  bool spent = false;
  if (run.device_step != nullptr) {
    step = run.device_step->next;
    spent = step >= run.device_step->end;
  }
  std::uint32_t x[Source::words];
  Source::block(run.key, draw::counter_of(block, draw::Use::grid_normal, 0, step, run.stream), x);
#pragma unroll
  for (std::uint32_t word = 0; word < Source::words; word += 2) {
    const std::uint64_t e = draw::grid_index_of<Source::words>(block, word) - run.first;
    if (e >= size) continue;
    const std::int64_t z = draw::grid_normal<Source>(run.key, x, word, block, step, run.stream, scale);
    const auto sum = static_cast<Integer>(static_cast<Unsigned>(data[e]) + static_cast<Unsigned>(z));
    data[e] = spent ? std::numeric_limits<Integer>::min() : sum;
  }
}

template <class Integer>
void launch(const Draws& draws, Integer* data, std::uint64_t size, double scale, StreamHandle stream) {
  if (size == 0) return;
  with_source(draws.bits, [&](auto source) {
    using Source = decltype(source);
    constexpr std::uint32_t tile = 16u * Source::words;
    const DrawRun<Source> run{Source::expand(draws.key), draws.stream, draws.step, draws.first, draws.device_step};
    const std::uint64_t tiles = (draws.first + size - 1) / tile - draws.first / tile + 1;
    const auto blocks = static_cast<unsigned>((tiles * 32 + kThreads - 1) / kThreads);
    grid_normal_kernel<Source, Integer><<<blocks, kThreads, 0, stream>>>(data, size, run, scale);
    check_launch("add_grid_normal");
  });
}

}  // namespace

void add_grid_normal(const Draws& draws, std::int64_t* data, std::uint64_t size, double scale, StreamHandle stream) {
  launch(draws, data, size, scale, stream);
}

void add_grid_normal(const Draws& draws, std::int32_t* data, std::uint64_t size, double scale, StreamHandle stream) {
  launch(draws, data, size, scale, stream);
}

}  // namespace dpflash::gpu
