#include "dpflash/gpu/error.hpp"
#include "kernels/elements.cuh"
#include "kernels/structured.hpp"

namespace dpflash::gpu {

namespace {

constexpr unsigned kThreads = 256;

template <class T, class Out, class Index>
__global__ void gather_kernel(const Index* positions, std::uint64_t count, const T* data, Out* values) {
  const std::uint64_t j = static_cast<std::uint64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j < count) values[j] = narrow<Out>(widen(data[positions[j]]));
}

template <class T, class Index>
__global__ void scatter_kernel(const Index* positions, std::uint64_t count, const float* values, T* data) {
  const std::uint64_t j = static_cast<std::uint64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j < count) data[positions[j]] = narrow<T>(values[j]);
}

/// Calls act with a null pointer of the element's type.
template <class Act>
void with_element(Element element, Act&& act) {
  switch (element) {
    case Element::f32:
      return act(static_cast<float*>(nullptr));
    case Element::bf16:
      return act(static_cast<__nv_bfloat16*>(nullptr));
    case Element::f16:
      return act(static_cast<__half*>(nullptr));
  }
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

void gather_floats(const Positions& positions, Element element, const void* data, float* values, StreamHandle stream) {
  with_element(element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    with_positions(positions, [&](auto* at, unsigned blocks) {
      gather_kernel<<<blocks, kThreads, 0, stream>>>(at, positions.count, static_cast<const T*>(data), values);
      check_launch("gather");
    });
  });
}

void gather(const Positions& positions, Element element, const void* data, void* values, StreamHandle stream) {
  with_element(element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    with_positions(positions, [&](auto* at, unsigned blocks) {
      gather_kernel<<<blocks, kThreads, 0, stream>>>(at, positions.count, static_cast<const T*>(data),
                                                     static_cast<T*>(values));
      check_launch("gather");
    });
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
