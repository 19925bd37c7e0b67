// g_i = fma(scale_i, z_i, g_i): a warp a group of draws, one pass over memory.
#pragma once

#include <cstdint>
#include <type_traits>

#include "dpflash/gpu/error.hpp"
#include "kernels/elements.cuh"
#include "kernels/noise.hpp"
#include "kernels/normals.cuh"

namespace dpflash::gpu {

/// The draws themselves, in place of what was there.
struct Overwrite {};

/// The scale of element e.
__device__ __forceinline__ float scale_at(const OneScale& scale, std::uint64_t) { return scale.value; }
__device__ __forceinline__ float scale_at(const Overwrite&, std::uint64_t) { return 1.0f; }
__device__ __forceinline__ float scale_at(const ElementScales& scales, std::uint64_t e) { return scales.values[e]; }
__device__ __forceinline__ std::uint32_t segment_of(const SegmentScales& scales, std::uint64_t e) {
  const std::uint32_t* const hint = scales.hints + (e >> SegmentScales::kHintShift);
  std::uint32_t low = __ldg(hint);
  std::uint32_t high = __ldg(hint + 1);
  while (low < high) {
    const std::uint32_t middle = (low + high) / 2;
    if (scales.ends[middle] > e)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}
__device__ __forceinline__ float scale_at(const SegmentScales& scales, std::uint64_t e) {
  return scales.values[segment_of(scales, e)];
}

/// Four scales from element e on, where a whole group has one scale or its own array of them.
struct FourScales {
  float value[4];
};
template <bool aligned>
__device__ __forceinline__ FourScales four_scales(const ElementScales& scales, std::uint64_t e) {
  FourScales four;
  if constexpr (aligned) {
    Four<float>::load(scales.values + e).unpack(four.value);
  } else {
    for (int k = 0; k < 4; ++k) four.value[k] = scales.values[e + k];
  }
  return four;
}
template <bool aligned>
__device__ __forceinline__ FourScales four_scales(const OneScale& scale, std::uint64_t) {
  return {{scale.value, scale.value, scale.value, scale.value}};
}

template <bool aligned>
__device__ __forceinline__ FourScales four_scales(const Overwrite&, std::uint64_t) {
  return {{1.0f, 1.0f, 1.0f, 1.0f}};
}

template <bool aligned, class T>
__device__ __forceinline__ Four<T> load_four(const T* p) {
  if constexpr (aligned) {
    return Four<T>::load(p);
  } else {
    const float x[4] = {widen(p[0]), widen(p[1]), widen(p[2]), widen(p[3])};
    return Four<T>::pack(x);
  }
}

template <bool aligned, class T>
__device__ __forceinline__ void store_four(T* p, const float (&x)[4]) {
  if constexpr (aligned) {
    Four<T>::pack(x).store(p);
  } else {
    for (int k = 0; k < 4; ++k) p[k] = narrow<T>(x[k]);
  }
}

/// One lane of a group, element by element: the ends of the range, rare draws, and groups of several segments.
template <class Source, class T, class Scale>
__device__ __noinline__ void careful_lane(T* data, std::uint64_t size, const DrawRun<Source>& run, const Scale& scale,
                                          std::uint32_t step, float fault, std::uint64_t group, std::uint32_t lane) {
  float z[4 * Layout<Source>::quads];
  draw::lane_normals<Source>(run.key, group, lane, step, run.stream, z);
#pragma unroll 1
  for (std::uint32_t i = 0; i < 4 * Layout<Source>::quads; ++i) {
    // Before the first element this wraps to a huge number.
    const std::uint64_t e = group * Layout<Source>::group + i / 4 * 128 + lane * 4 + i % 4 - run.first;
    if (e >= size) continue;
    const float old = std::is_same_v<Scale, Overwrite> ? 0.0f : widen(data[e]);
    data[e] = narrow<T>(draw::fma(draw::add(scale_at(scale, e), fault), z[i], old));
  }
}

/// The scale of a whole group; with segments one number, and not whole when the group crosses an end.
template <class Scale>
__device__ __forceinline__ const Scale& scale_of_group(const Scale& scale, std::uint64_t, std::uint32_t, bool&) {
  return scale;
}
__device__ __forceinline__ OneScale scale_of_group(const SegmentScales& scales, std::uint64_t begin,
                                                   std::uint32_t length, bool& whole) {
  const std::uint32_t segment = segment_of(scales, begin);
  whole = whole && scales.ends[segment] >= begin + length;
  return {scales.values[segment]};
}

template <class Source, class T, class Scale, bool aligned>
__global__ void __launch_bounds__(64, 16)
    add_normal_kernel(T* data, std::uint64_t size, const __grid_constant__ DrawRun<Source> run,
                      const __grid_constant__ Scale scale) {
  constexpr int quads = Layout<Source>::quads;
  constexpr std::uint32_t length = Layout<Source>::group;
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint64_t group =
      run.first / length + static_cast<std::uint64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (group * length >= run.first + size) return;
  std::uint32_t step = run.step;
  float fault = 0;
  if (run.device_step != nullptr) {
    step = run.device_step->next;
    if (step >= run.device_step->end) fault = __int_as_float(0x7fffffff);
  }
  const std::uint64_t begin = group * length - run.first;
  bool whole = group * length >= run.first && begin + length <= size;
  if (!whole) {
    careful_lane<Source, T, Scale>(data, size, run, scale, step, fault, group, lane);
    return;
  }
  T* const p = data + begin + lane * 4;
  constexpr bool overwrite = std::is_same_v<Scale, Overwrite>;
  Four<T> old[quads];
  std::uint32_t loaded = 0;
  if constexpr (!overwrite) {
#pragma unroll
    for (int q = 0; q < quads; ++q) {
      old[q] = load_four<aligned>(p + q * 128);
      // Worth its instructions where the draws are the cheaper part.
      if constexpr (std::is_same_v<Source, draw::Philox>) loaded ^= old[q].word();
    }
  }
  // Looked up while the data come; used last.
  const auto group_scale = scale_of_group(scale, begin, length, whole);
  FourScales scales[quads];
#pragma unroll
  for (int q = 0; q < quads; ++q) scales[q] = four_scales<aligned>(group_scale, begin + lane * 4 + q * 128);
  float z[4 * quads];
  if (!usual_normals<Source>(run, step, group, lane, z, loaded) || !whole) {
    careful_lane<Source, T, Scale>(data, size, run, scale, step, fault, group, lane);
    return;
  }
#pragma unroll
  for (int q = 0; q < quads; ++q) {
    float x[4] = {};
    if constexpr (!overwrite) old[q].unpack(x);
#pragma unroll
    for (int k = 0; k < 4; ++k) x[k] = draw::fma(draw::add(scales[q].value[k], fault), z[4 * q + k], x[k]);
    store_four<aligned>(p + q * 128, x);
  }
}

template <class Source, class T, class Scale>
void launch_add_normal(const Draws& draws, T* data, std::uint64_t size, const Scale& scale, bool scales_aligned,
                       StreamHandle stream) {
  if (size == 0) return;
  constexpr std::uint32_t length = Layout<Source>::group;
  constexpr unsigned threads = 64;
  const DrawRun<Source> run{Source::expand(draws.key), draws.stream, draws.step, draws.first, draws.device_step};
  const std::uint64_t groups = (draws.first + size - 1) / length - draws.first / length + 1;
  const auto blocks = static_cast<unsigned>((groups + threads / 32 - 1) / (threads / 32));
  // Vectors of four start where the draw's index is a multiple of four.
  const std::uintptr_t origin = reinterpret_cast<std::uintptr_t>(data) - (draws.first % 4) * sizeof(T);
  if (origin % (4 * sizeof(T)) == 0 && scales_aligned)
    add_normal_kernel<Source, T, Scale, true><<<blocks, threads, 0, stream>>>(data, size, run, scale);
  else
    add_normal_kernel<Source, T, Scale, false><<<blocks, threads, 0, stream>>>(data, size, run, scale);
  check_launch("add_normal");
}

/// The launches of one generator for all elements and one kind of scale: one small file each.
template <class Source, class Scale>
void add_normal_of(const Draws& draws, Element element, void* data, std::uint64_t size, const Scale& scale,
                   bool scales_aligned, StreamHandle stream) {
  switch (element) {
    case Element::f32:
      return launch_add_normal<Source>(draws, static_cast<float*>(data), size, scale, scales_aligned, stream);
    case Element::bf16:
      return launch_add_normal<Source>(draws, static_cast<__nv_bfloat16*>(data), size, scale, scales_aligned, stream);
    case Element::f16:
      return launch_add_normal<Source>(draws, static_cast<__half*>(data), size, scale, scales_aligned, stream);
  }
}

template <class Source>
void fill_normal_of(const Draws& draws, float* out, std::uint64_t size, StreamHandle stream) {
  launch_add_normal<Source>(draws, out, size, Overwrite{}, true, stream);
}

}  // namespace dpflash::gpu
