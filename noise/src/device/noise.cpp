// Noise of one scale, per-element and per-block scales, masks.
#include "kernels/noise.hpp"

#include <algorithm>
#include <vector>

#include "device/draw_access.hpp"
#include "device/elements.hpp"
#include "structure/checks.hpp"

namespace dpflash::noise {

using namespace structure;

namespace {

std::span<const float> scales_of(const Weighted& mechanism, std::size_t begin, std::size_t count) {
  check_shard(begin, count, mechanism.size());
  return mechanism.weights_scaled().subspan(begin, count);
}

}  // namespace

void normal(gpu::DeviceSpan<float> out, const DrawFrom& from, gpu::StreamHandle stream) {
  const TakenDraws taken = DrawAccess::take(from, 0, out.size, stream);
  gpu::fill_normal(taken.draws, out.data, out.size, stream);
  DrawAccess::launched(taken, stream);
}

void laplace(gpu::DeviceSpan<float> out, const DrawFrom& from, gpu::StreamHandle stream) {
  const TakenDraws taken = DrawAccess::take(from, 0, out.size, stream);
  gpu::add_laplace(taken.draws, out.data, out.size, 1.0f, true, stream);
  DrawAccess::launched(taken, stream);
}

template <class T>
void privatise(const Isotropic& mechanism, gpu::DeviceSpan<T> sum, const DrawFrom& from, gpu::StreamHandle stream) {
  check_size(sum.size, mechanism.size(), "sum");
  privatise_shard(mechanism, sum, 0, from, stream);
}

template <class T>
void privatise_shard(const Isotropic& mechanism, gpu::DeviceSpan<T> part, std::size_t begin, const DrawFrom& from,
                     gpu::StreamHandle stream) {
  check_shard(begin, part.size, mechanism.size());
  const TakenDraws taken = DrawAccess::take(from, begin, part.size, stream);
  gpu::add_normal(taken.draws, element_of<T>(), part.data, part.size, gpu::OneScale{mechanism.scale()}, stream);
  DrawAccess::launched(taken, stream);
}

void privatise(const Laplace& mechanism, gpu::DeviceSpan<float> sum, const DrawFrom& from, gpu::StreamHandle stream) {
  check_size(sum.size, mechanism.size(), "sum");
  privatise_shard(mechanism, sum, 0, from, stream);
}

void privatise_shard(const Laplace& mechanism, gpu::DeviceSpan<float> part, std::size_t begin, const DrawFrom& from,
                     gpu::StreamHandle stream) {
  check_shard(begin, part.size, mechanism.size());
  const TakenDraws taken = DrawAccess::take(from, begin, part.size, stream);
  gpu::add_laplace(taken.draws, part.data, part.size, mechanism.scale(), false, stream);
  DrawAccess::launched(taken, stream);
}

DeviceWeighted::DeviceWeighted(const Weighted& mechanism, gpu::StreamHandle stream)
    : DeviceWeighted(mechanism, 0, mechanism.size(), stream) {}

DeviceWeighted::DeviceWeighted(const Weighted& mechanism, std::size_t begin, std::size_t count,
                               gpu::StreamHandle stream)
    : begin_(begin), scales_(gpu::upload(scales_of(mechanism, begin, count), stream)) {
  gpu::synchronise(stream);
}

template <class T>
void DeviceWeighted::privatise(gpu::DeviceSpan<T> part, const DrawFrom& from, gpu::StreamHandle stream) const {
  check_size(part.size, size(), "part");
  const TakenDraws taken = DrawAccess::take(from, begin_, part.size, stream);
  gpu::add_normal(taken.draws, element_of<T>(), part.data, part.size, gpu::ElementScales{scales_.data()}, stream);
  DrawAccess::launched(taken, stream);
}

DeviceBlockDiagonal::DeviceBlockDiagonal(const BlockDiagonal& mechanism, gpu::StreamHandle stream)
    : DeviceBlockDiagonal(mechanism, 0, mechanism.size(), stream) {}

DeviceBlockDiagonal::DeviceBlockDiagonal(const BlockDiagonal& mechanism, std::size_t begin, std::size_t count,
                                         gpu::StreamHandle stream)
    : begin_(begin), size_(count) {
  check_shard(begin, count, mechanism.size());
  std::vector<std::uint64_t> ends;
  std::vector<float> scales;
  for (const BlockDiagonal::Entry& block : mechanism.table()) {
    const std::uint64_t end = std::min<std::uint64_t>(block.begin + block.size, begin + count);
    if (end <= begin || block.begin >= begin + count) continue;
    ends.push_back(end - begin);
    scales.push_back(block.scale);
  }
  std::vector<std::uint32_t> hints;
  for (std::uint64_t e = 0, segment = 0; e < count; e += std::uint64_t{1} << gpu::SegmentScales::kHintShift) {
    while (ends[segment] <= e) ++segment;
    hints.push_back(static_cast<std::uint32_t>(segment));
  }
  hints.push_back(static_cast<std::uint32_t>(ends.empty() ? 0 : ends.size() - 1));
  ends_ = gpu::upload<std::uint64_t>(ends, stream);
  hints_ = gpu::upload<std::uint32_t>(hints, stream);
  scales_ = gpu::upload<float>(scales, stream);
  gpu::synchronise(stream);
}

template <class T>
void DeviceBlockDiagonal::privatise(gpu::DeviceSpan<T> part, const DrawFrom& from, gpu::StreamHandle stream) const {
  check_size(part.size, size_, "part");
  const TakenDraws taken = DrawAccess::take(from, begin_, part.size, stream);
  const gpu::SegmentScales scales{ends_.data(), scales_.data(), hints_.data()};
  gpu::add_normal(taken.draws, element_of<T>(), part.data, part.size, scales, stream);
  DrawAccess::launched(taken, stream);
}

#define DPFLASH_FOR_ELEMENT(T)                                                                           \
  template void privatise(const Isotropic&, gpu::DeviceSpan<T>, const DrawFrom&, gpu::StreamHandle);     \
  template void privatise_shard(const Isotropic&, gpu::DeviceSpan<T>, std::size_t, const DrawFrom&,      \
                                gpu::StreamHandle);                                                      \
  template void DeviceWeighted::privatise(gpu::DeviceSpan<T>, const DrawFrom&, gpu::StreamHandle) const; \
  template void DeviceBlockDiagonal::privatise(gpu::DeviceSpan<T>, const DrawFrom&, gpu::StreamHandle) const;
DPFLASH_FOR_ELEMENT(float)
DPFLASH_FOR_ELEMENT(BFloat16)
DPFLASH_FOR_ELEMENT(Float16)
#undef DPFLASH_FOR_ELEMENT

}  // namespace dpflash::noise
