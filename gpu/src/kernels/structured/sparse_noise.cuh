// Kept elements gathered and noised in one pass: a warp a group of draws.
#pragma once

#include <cstdint>
#include <type_traits>

#include "dpflash/gpu/error.hpp"
#include "kernels/elements.cuh"
#include "kernels/normals.cuh"
#include "kernels/structured.hpp"

namespace dpflash::gpu {

/// What a launch gathers and where it goes.
template <class T, class Out, class Index>
struct Gathering {
  const Index* positions;
  const T* data;
  Out* values;
  std::uint64_t count;
  float scale;
};

template <class Source, class T, class Out, class Index>
__global__ void __launch_bounds__(64, Source::words == 4 ? 16 : 12)
    gather_noisy_kernel(const __grid_constant__ Gathering<T, Out, Index> g,
                        const __grid_constant__ DrawRun<Source> run) {
  constexpr int draws = 4 * Layout<Source>::quads;
  constexpr std::uint32_t length = Layout<Source>::group;
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint64_t group =
      run.first / length + static_cast<std::uint64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (group * length >= run.first + g.count) return;
  std::uint32_t step = run.step;
  float scale = g.scale;
  if (run.device_step != nullptr) {
    step = run.device_step->next;
    if (step >= run.device_step->end) scale = __int_as_float(0x7fffffff);
  }
  // Neighbouring lanes take neighbouring kept elements; draws lie in fours, and change hands in shared memory. What
  // lies before the first element wraps to a huge number.
  __shared__ alignas(16) float shared[2][length];
  float* const dealt = shared[threadIdx.x / 32];
  const std::uint64_t first = group * length + lane - run.first;
  float old[draws];
#pragma unroll
  for (int i = 0; i < draws; ++i) {
    const std::uint64_t j = first + 32 * i;
    old[i] = j < g.count ? widen(g.data[__ldg(g.positions + j)]) : 0.0f;
  }
  float z[draws];
  if (!usual_normals<Source>(run, step, group, lane, z))
    draw::lane_normals<Source>(run.key, group, lane, step, run.stream, z);
#pragma unroll
  for (int q = 0; q < draws / 4; ++q)
    *reinterpret_cast<float4*>(dealt + 128 * q + 4 * lane) =
        make_float4(z[4 * q], z[4 * q + 1], z[4 * q + 2], z[4 * q + 3]);
  __syncwarp();
#pragma unroll
  for (int i = 0; i < draws; ++i) {
    const std::uint64_t j = first + 32 * i;
    if (j < g.count) g.values[j] = narrow<Out>(draw::fma(scale, dealt[32 * i + lane], old[i]));
  }
}

template <class Source, class T, class Out, class Index>
void launch_gather_noisy(const Draws& draws, const Gathering<T, Out, Index>& gathering, StreamHandle stream) {
  constexpr std::uint32_t length = Layout<Source>::group;
  constexpr unsigned threads = 64;
  const DrawRun<Source> run{Source::expand(draws.key), draws.stream, draws.step, draws.first, draws.device_step};
  const std::uint64_t groups = (draws.first + gathering.count - 1) / length - draws.first / length + 1;
  const auto blocks = static_cast<unsigned>((groups + threads / 32 - 1) / (threads / 32));
  gather_noisy_kernel<Source, T, Out, Index><<<blocks, threads, 0, stream>>>(gathering, run);
  check_launch("gather_noisy");
}

template <class Source, class T, class Out>
void gather_noisy_as(const Draws& draws, const Positions& positions, const void* data, float scale, void* values,
                     StreamHandle stream) {
  const auto launch = [&]<class Index>(const Index* at) {
    launch_gather_noisy<Source, T, Out, Index>(
        draws, {at, static_cast<const T*>(data), static_cast<Out*>(values), positions.count, scale}, stream);
  };
  if (positions.wide)
    launch(static_cast<const std::uint64_t*>(positions.values));
  else
    launch(static_cast<const std::uint32_t*>(positions.values));
}

/// The launches of one generator: one small file each.
template <class Source>
void gather_noisy_of(const Draws& draws, const Positions& positions, Element element, const void* data, float scale,
                     bool as_floats, void* values, StreamHandle stream) {
  with_element(element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (as_floats)
      gather_noisy_as<Source, T, float>(draws, positions, data, scale, values, stream);
    else
      gather_noisy_as<Source, T, T>(draws, positions, data, scale, values, stream);
  });
}

}  // namespace dpflash::gpu
