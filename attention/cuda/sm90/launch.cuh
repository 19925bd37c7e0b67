// One instance: a head dimension and a generator, both element types.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <type_traits>

#include "cuda/sm90/kernel.cuh"
#include "cuda/sm90/launch.hpp"
#include "cuda/sm90/maps.hpp"
#include "dpflash/gpu/error.hpp"

namespace dpflash::attention::cuda {

template <class T, bool f16, bool softcap, class Source>
void launch_kernel(const Forward& problem, const Launch& launch, int blocks, gpu::StreamHandle stream) {
  const auto kernel = attention_kernel<T, f16, softcap, Source>;
  gpu::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, T::shared_bytes),
             "cudaFuncSetAttribute");
  const Run<Source> run{Source::expand(problem.draws.key), problem.draws.stream, problem.draws.step, 0,
                        problem.draws.device_step};
  kernel<<<static_cast<unsigned>(blocks), T::threads, T::shared_bytes, static_cast<cudaStream_t>(stream)>>>(
      launch.q, launch.k, launch.v, launch.numbers, run);
  gpu::check(cudaGetLastError(), "attention_kernel");
}

template <int width, class Source>
void launch_tile(const Forward& problem, Launch& launch, gpu::StreamHandle stream) {
  using T = TileOf<width>;
  launch.q = map_of(problem.q, problem, true, 64);
  launch.k = map_of(problem.k, problem, false, T::keys);
  launch.v = map_of(problem.v, problem, false, T::keys);
  static_assert(T::rows == kQueryTile);
  const bool packed = problem.cumulative_q != nullptr;
  launch.numbers.q_tiles = (problem.rows + T::rows - 1) / T::rows;
  launch.numbers.tiles = (packed ? problem.packed_tiles : launch.numbers.q_tiles * problem.batch) * problem.heads;
  const int blocks = std::min(launch.numbers.tiles, multiprocessors());
  launch.numbers.k_tiles = static_cast<std::int32_t>(key_tiles(problem, T::keys));
  const auto run = [&]<bool f16>(std::bool_constant<f16>) {
    if (problem.softcap != 0)
      launch_kernel<T, f16, true, Source>(problem, launch, blocks, stream);
    else
      launch_kernel<T, f16, false, Source>(problem, launch, blocks, stream);
  };
  if (problem.element == Element::f16)
    run(std::true_type{});
  else
    run(std::false_type{});
}

}  // namespace dpflash::attention::cuda
