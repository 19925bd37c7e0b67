#include <type_traits>
#include <vector>

#include "device/draw_access.hpp"
#include "device/elements.hpp"
#include "kernels/structured.hpp"
#include "structure/checks.hpp"

namespace dpflash::noise {

using namespace structure;

namespace {

template <class Index>
gpu::Memory upload_positions(std::span<const std::uint64_t> kept, std::size_t begin, gpu::StreamHandle stream) {
  std::vector<Index> positions;
  positions.reserve(kept.size());
  for (const std::uint64_t at : kept) positions.push_back(static_cast<Index>(at - begin));
  gpu::Memory memory(positions.size() * sizeof(Index));
  gpu::copy_to_device(memory.data(), positions.data(), memory.bytes(), stream);
  gpu::synchronise(stream);
  return memory;
}

}  // namespace

DeviceSparse::DeviceSparse(const Sparse& mechanism, gpu::StreamHandle stream)
    : DeviceSparse(mechanism, 0, mechanism.size(), stream) {}

DeviceSparse::DeviceSparse(const Sparse& mechanism, std::size_t begin, std::size_t count, gpu::StreamHandle stream)
    : scale_(mechanism.scale()), size_(count), kept_(0), rank_(0), wide_(count > (std::uint64_t{1} << 32)) {
  check_shard(begin, count, mechanism.size());
  rank_ = mechanism.mask().rank_of(begin);
  kept_ = mechanism.mask().rank_of(begin + count) - rank_;
  const auto kept = mechanism.mask().kept().subspan(rank_, kept_);
  positions_ = wide_ ? upload_positions<std::uint64_t>(kept, begin, stream)
                     : upload_positions<std::uint32_t>(kept, begin, stream);
  values_ = gpu::Buffer<float>(kept_);
}

template <class T>
void DeviceSparse::privatise(gpu::DeviceSpan<T> part, const DrawFrom& from, gpu::StreamHandle stream) {
  check_size(part.size, size_, "part");
  const TakenDraws taken = DrawAccess::take(from, rank_, kept_, stream);
  const gpu::Positions positions{positions_.data(), kept_, wide_};
  gpu::gather_noisy(taken.draws, positions, element_of<T>(), part.data, scale_, true, values_.data(), stream);
  DrawAccess::launched(taken, stream);
  gpu::scatter(positions, element_of<T>(), values_.data(), part.data, size_, stream);
}

template <class T>
void DeviceSparse::release(gpu::DeviceSpan<const T> part, gpu::DeviceSpan<T> values, const DrawFrom& from,
                           gpu::StreamHandle stream) const {
  check_size(part.size, size_, "part");
  check_size(values.size, kept_, "values");
  const TakenDraws taken = DrawAccess::take(from, rank_, kept_, stream);
  gpu::gather_noisy(taken.draws, {positions_.data(), kept_, wide_}, element_of<T>(), part.data, scale_, false,
                    values.data, stream);
  DrawAccess::launched(taken, stream);
}

#define DPFLASH_FOR_ELEMENT(T)                                                                       \
  template void DeviceSparse::privatise(gpu::DeviceSpan<T>, const DrawFrom&, gpu::StreamHandle);     \
  template void DeviceSparse::release(gpu::DeviceSpan<const T>, gpu::DeviceSpan<T>, const DrawFrom&, \
                                      gpu::StreamHandle) const;
DPFLASH_FOR_ELEMENT(float)
DPFLASH_FOR_ELEMENT(BFloat16)
DPFLASH_FOR_ELEMENT(Float16)
#undef DPFLASH_FOR_ELEMENT

}  // namespace dpflash::noise
