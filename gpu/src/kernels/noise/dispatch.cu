#include "dpflash/gpu/error.hpp"
#include "draw/laplace.hpp"
#include "kernels/noise.hpp"
#include "kernels/normals.cuh"
#include "kernels/sources.hpp"

namespace dpflash::gpu {

template <class Source, class Scale>
void add_normal_of(const Draws& draws, Element element, void* data, std::uint64_t size, const Scale& scale,
                   bool scales_aligned, StreamHandle stream);

template <class Source>
void fill_normal_of(const Draws& draws, float* out, std::uint64_t size, StreamHandle stream);

namespace {

template <class Scale>
void add_normal_with(const Draws& draws, Element element, void* data, std::uint64_t size, const Scale& scale,
                     bool scales_aligned, StreamHandle stream) {
  with_source(draws.bits, [&](auto source) {
    add_normal_of<decltype(source)>(draws, element, data, size, scale, scales_aligned, stream);
  });
}

template <class Source>
__device__ float laplace_draw(const DrawRun<Source>& run, std::uint32_t step, std::uint64_t block, std::uint32_t word,
                              const std::uint32_t (&x)[Source::words]) {
  if (!draw::laplace_is_rare(x[word])) return draw::laplace_of(x[word]);
  constexpr std::uint32_t half = Source::words / 2;
  std::uint32_t extra[Source::words];
  Source::block(run.key, draw::counter_of(block, draw::Use::laplace, 1 + word / half, step, run.stream), extra);
  return draw::rare_laplace_of(x[word], extra[word % half * 2], extra[word % half * 2 + 1]);
}

/// A thread a block of words; lanes of a warp touch runs of 128 neighbouring elements.
template <class Source>
__global__ void laplace_kernel(float* data, std::uint64_t size, const __grid_constant__ DrawRun<Source> run,
                               float scale, bool overwrite) {
  constexpr std::uint32_t tile = 32u * Source::words;
  const std::uint64_t block = run.first / tile * 32 + static_cast<std::uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  std::uint32_t step = run.step;
  if (run.device_step != nullptr) {
    step = run.device_step->next;
    if (step >= run.device_step->end) scale = __int_as_float(0x7fffffff);
  }
  std::uint32_t x[Source::words];
  Source::block(run.key, draw::counter_of(block, draw::Use::laplace, 0, step, run.stream), x);
#pragma unroll
  for (std::uint32_t word = 0; word < Source::words; ++word) {
    const std::uint64_t e = block / 32 * tile + word / 4 * 128 + block % 32 * 4 + word % 4 - run.first;
    if (e < size)
      data[e] = draw::fma(scale, laplace_draw<Source>(run, step, block, word, x), overwrite ? 0.0f : data[e]);
  }
}

__global__ void advance_kernel(StepRange* steps) {
  if (steps->next < steps->end) steps->next += 1;
}

}  // namespace

void add_normal(const Draws& draws, Element element, void* data, std::uint64_t size, OneScale scale,
                StreamHandle stream) {
  add_normal_with(draws, element, data, size, scale, true, stream);
}

void add_normal(const Draws& draws, Element element, void* data, std::uint64_t size, ElementScales scales,
                StreamHandle stream) {
  const std::uintptr_t origin = reinterpret_cast<std::uintptr_t>(scales.values) - draws.first % 4 * sizeof(float);
  add_normal_with(draws, element, data, size, scales, origin % 16 == 0, stream);
}

void add_normal(const Draws& draws, Element element, void* data, std::uint64_t size, SegmentScales scales,
                StreamHandle stream) {
  add_normal_with(draws, element, data, size, scales, true, stream);
}

void fill_normal(const Draws& draws, float* out, std::uint64_t size, StreamHandle stream) {
  with_source(draws.bits, [&](auto source) { fill_normal_of<decltype(source)>(draws, out, size, stream); });
}

void add_laplace(const Draws& draws, float* data, std::uint64_t size, float scale, bool overwrite,
                 StreamHandle stream) {
  if (size == 0) return;
  with_source(draws.bits, [&](auto source) {
    using Source = decltype(source);
    constexpr std::uint32_t tile = 32u * Source::words;
    const DrawRun<Source> run{Source::expand(draws.key), draws.stream, draws.step, draws.first, draws.device_step};
    const std::uint64_t tiles = (draws.first + size - 1) / tile - draws.first / tile + 1;
    constexpr unsigned threads = 128;
    const auto blocks = static_cast<unsigned>((tiles * 32 + threads - 1) / threads);
    laplace_kernel<Source><<<blocks, threads, 0, stream>>>(data, size, run, scale, overwrite);
    check_launch("add_laplace");
  });
}

void advance_step(StepRange* steps, StreamHandle stream) {
  advance_kernel<<<1, 1, 0, stream>>>(steps);
  check_launch("advance_step");
}

}  // namespace dpflash::gpu
