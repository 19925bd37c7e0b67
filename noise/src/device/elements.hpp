// From the types of elements to the kernels' names for them.
#pragma once

#include <type_traits>

#include "dpflash/noise/elements.hpp"
#include "kernels/noise.hpp"

namespace dpflash::noise {

template <class T>
constexpr gpu::Element element_of() {
  if constexpr (std::is_same_v<T, float>)
    return gpu::Element::f32;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return gpu::Element::bf16;
  else
    return gpu::Element::f16;
}

}  // namespace dpflash::noise
