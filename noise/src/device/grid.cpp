#include "kernels/grid.hpp"

#include <algorithm>
#include <cmath>

#include "clipping/checks.hpp"
#include "device/draw_access.hpp"
#include "dpflash/noise/device_grid.hpp"
#include "structure/checks.hpp"

namespace dpflash::noise {

using accounting::UnusableInput;

namespace {

/// Rows are blocks' second number, which has 16 bits.
constexpr std::uint64_t kMostRows = 65535;

}  // namespace

template <class Integer>
void privatise(const GridMechanism& mechanism, gpu::DeviceSpan<Integer> sum, const DrawFrom& from,
               gpu::StreamHandle stream) {
  structure::check_size(sum.size, mechanism.size(), "sum");
  privatise_shard(mechanism, sum, 0, from, stream);
}

template <class Integer>
void privatise_shard(const GridMechanism& mechanism, gpu::DeviceSpan<Integer> part, std::size_t begin,
                     const DrawFrom& from, gpu::StreamHandle stream) {
  structure::check_shard(begin, part.size, mechanism.size());
  const TakenDraws taken = DrawAccess::take(from, begin, part.size, stream);
  gpu::add_grid_normal(taken.draws, part.data, part.size, std::ldexp(1.0, mechanism.bits()), stream);
  DrawAccess::launched(taken, stream);
}

template <class Integer>
void release(const GridMechanism& mechanism, gpu::DeviceSpan<const Integer> sum, gpu::DeviceSpan<float> out,
             double factor, gpu::StreamHandle stream) {
  structure::check_size(sum.size, mechanism.size(), "sum");
  structure::check_size(out.size, mechanism.size(), "out");
  if (!std::isfinite(factor)) throw UnusableInput("factor", std::to_string(factor), "a finite number");
  gpu::scale_integers(sum.data, sum.size, mechanism.spacing() * factor, out.data, stream);
}

DeviceGrid::DeviceGrid(const GridMechanism& mechanism, std::uint64_t most_examples)
    : size_(mechanism.size()),
      per_unit_(1 / mechanism.spacing()),
      integer_clip_(mechanism.integer_clip()),
      most_examples_(most_examples) {
  if (most_examples < 1 || most_examples > kLargestBatch)
    throw UnusableInput("most_examples", std::to_string(most_examples), "an integer in [1, 2^20]");
  if (size_ / 4096 >= ((std::uint64_t{1} << 31) - 1) / most_examples)
    throw UnusableInput("most_examples", std::to_string(most_examples), "fewer examples for so many parameters");
  work_ = gpu::Memory(gpu::grid_work_bytes(size_, std::min(most_examples, kMostRows)));
}

template <class Integer>
void DeviceGrid::add(const float* rows, std::uint64_t stride, std::uint64_t batch, gpu::DeviceSpan<Integer> sum,
                     gpu::StreamHandle stream) {
  structure::check_size(sum.size, size_, "sum");
  if (batch > most_examples_)
    throw UnusableInput("batch", std::to_string(batch), "at most most_examples = " + std::to_string(most_examples_));
  const TensorRows tensor{rows, size_, stride, 0, 0};
  check({{&tensor, 1}, batch}, 1);
  const std::uint64_t step = stride_of(tensor);
  for (std::uint64_t b = 0; b < batch; b += kMostRows) {
    const auto count = static_cast<std::uint32_t>(std::min(batch - b, kMostRows));
    gpu::add_grid_rows({rows + b * step, size_, step, count, per_unit_, integer_clip_}, work_.data(), sum.data, stream);
  }
}

#define DPFLASH_FOR_INTEGER(I)                                                                           \
  template void privatise(const GridMechanism&, gpu::DeviceSpan<I>, const DrawFrom&, gpu::StreamHandle); \
  template void privatise_shard(const GridMechanism&, gpu::DeviceSpan<I>, std::size_t, const DrawFrom&,  \
                                gpu::StreamHandle);                                                      \
  template void release(const GridMechanism&, gpu::DeviceSpan<const I>, gpu::DeviceSpan<float>, double,  \
                        gpu::StreamHandle);                                                              \
  template void DeviceGrid::add(const float*, std::uint64_t, std::uint64_t, gpu::DeviceSpan<I>, gpu::StreamHandle);
DPFLASH_FOR_INTEGER(std::int64_t)
DPFLASH_FOR_INTEGER(std::int32_t)
#undef DPFLASH_FOR_INTEGER

}  // namespace dpflash::noise
