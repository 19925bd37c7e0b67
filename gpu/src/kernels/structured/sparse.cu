#include "dpflash/gpu/error.hpp"
#include "kernels/elements.cuh"
#include "kernels/sources.hpp"
#include "kernels/structured.hpp"

namespace dpflash::gpu {

namespace {

constexpr unsigned kThreads = 256;

template <class T, class Index>
__global__ void scatter_kernel(const Index* positions, std::uint64_t count, const float* values, T* data) {
  const std::uint64_t j = static_cast<std::uint64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j < count) data[positions[j]] = narrow<T>(values[j]);
}

/// Calls act with the positions, as pointers to their type, and the blocks of a launch.
template <class Act>
void with_positions(const Positions& positions, Act&& act) {
  if (positions.count == 0) return;
  const auto blocks = static_cast<unsigned>((positions.count + kThreads - 1) / kThreads);
  if (positions.wide)
    act(static_cast<const std::uint64_t*>(positions.values), blocks);
  else
    act(static_cast<const std::uint32_t*>(positions.values), blocks);
}

}  // namespace

template <class Source>
void gather_noisy_of(const Draws& draws, const Positions& positions, Element element, const void* data, float scale,
                     bool as_floats, void* values, StreamHandle stream);

void gather_noisy(const Draws& draws, const Positions& positions, Element element, const void* data, float scale,
                  bool as_floats, void* values, StreamHandle stream) {
  if (positions.count == 0) return;
  with_source(draws.bits, [&](auto source) {
    gather_noisy_of<decltype(source)>(draws, positions, element, data, scale, as_floats, values, stream);
  });
}

void scatter(const Positions& positions, Element element, const float* values, void* data, std::uint64_t size,
             StreamHandle stream) {
  zero(data, size * (element == Element::f32 ? 4 : 2), stream);
  with_element(element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    with_positions(positions, [&](auto* at, unsigned blocks) {
      scatter_kernel<<<blocks, kThreads, 0, stream>>>(at, positions.count, values, static_cast<T*>(data));
      check_launch("scatter");
    });
  });
}

}  // namespace dpflash::gpu
