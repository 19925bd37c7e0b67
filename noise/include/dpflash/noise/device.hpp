// The mechanisms on a CUDA device. Only in builds with CUDA: they define DPFLASH_HAS_CUDA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/gpu/stream.hpp>
#include <dpflash/noise/elements.hpp>
#include <dpflash/noise/grid.hpp>
#include <dpflash/noise/laplace.hpp>
#include <dpflash/noise/source.hpp>

/// Common to all of this header and of the other device_*.hpp. Work is queued on the caller's stream of the current
/// device and has not run when a call returns. Constructors of Device... classes allocate, upload and wait; nothing
/// else allocates or waits, and all calls can be captured in a CUDA graph. Spans are in device memory, aligned to their
/// elements; 16-byte alignment is fastest. Sizes are checked, then draws are claimed, then work is queued. Two calls on
/// one Device... object share its work space: they must be ordered, by one stream or by events. Errors: UnusableInput,
/// ReusedNoise, gpu::DeviceError.
namespace dpflash::noise {

/// Noise for CUDA graphs: a captured launch, replayed, draws at the next step each time. Steps [first_step, first_step
/// + count) are set aside; a launch counts its own replays in device memory, moves on by itself, and past the last step
/// gives NaN (integers: the most negative one) in place of data, so that no noise is used twice and nothing is left
/// without. Replays must not overlap in time, and the object must outlive every graph that captured a launch of it.
class GraphSteps {
 public:
  /// `stream`: the stream of draws. `count` in [1, 2^24]; first_step + count at most 2^32 - 1. `launches`: how many
  /// calls may draw from these steps, in [1, 2^16]. Waits for the upload on `queue`. Throws UnusableInput, DeviceError.
  GraphSteps(std::uint32_t stream, std::uint32_t first_step, std::uint32_t count, std::uint32_t launches,
             gpu::StreamHandle queue);

  [[nodiscard]] std::uint32_t stream() const noexcept { return stream_; }
  [[nodiscard]] std::uint32_t first_step() const noexcept { return first_step_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  /// Launches that may still be made.
  [[nodiscard]] std::uint32_t launches_left() const noexcept { return launches_ - taken_; }

 private:
  friend struct DrawAccess;
  std::uint32_t stream_;
  std::uint32_t first_step_;
  std::uint32_t count_;
  std::uint32_t launches_;
  std::uint32_t taken_ = 0;
  gpu::Memory counters_;
};

/// Which draws a call takes: those of one position (refused, UnusableInput, on a stream that is being captured: every
/// replay would draw the same noise), or draws `first` onwards of every step of a GraphSteps, one launch of it. All of
/// them are claimed when the call is made, for a graph those of every step.
class DrawFrom {
 public:
  DrawFrom(NoiseSource& source, const Position& position) : source_(&source), position_(position) {}
  DrawFrom(NoiseSource& source, GraphSteps& steps, std::uint64_t first)
      : source_(&source), steps_(&steps), position_{steps.stream(), steps.first_step(), first} {}

 private:
  friend struct DrawAccess;
  NoiseSource* source_;
  GraphSteps* steps_ = nullptr;
  Position position_;
};

/// NoiseSource::normal and ::laplace on the device, the same bits: standard draws in place of what was there.
void normal(gpu::DeviceSpan<float> out, const DrawFrom& from, gpu::StreamHandle stream);
void laplace(gpu::DeviceSpan<float> out, const DrawFrom& from, gpu::StreamHandle stream);

/// sum[i] = round(fma(scale, z_i, sum[i])), the same bits as the host's privatise (elements.hpp for 16 bits; a NaN's
/// payload may differ). T is float, BFloat16 or Float16. One read and one write of the data.
template <class T>
void privatise(const Isotropic& mechanism, gpu::DeviceSpan<T> sum, const DrawFrom& from, gpu::StreamHandle stream);
/// The same for elements [begin, begin + part.size) of the sum: every element must be in exactly one shard.
template <class T>
void privatise_shard(const Isotropic& mechanism, gpu::DeviceSpan<T> part, std::size_t begin, const DrawFrom& from,
                     gpu::StreamHandle stream);

/// As the host's, bit for bit.
void privatise(const Laplace& mechanism, gpu::DeviceSpan<float> sum, const DrawFrom& from, gpu::StreamHandle stream);
void privatise_shard(const Laplace& mechanism, gpu::DeviceSpan<float> part, std::size_t begin, const DrawFrom& from,
                     gpu::StreamHandle stream);

/// Integer noise, as the host's, bit for bit. Integer is std::int64_t or std::int32_t.
template <class Integer>
void privatise(const GridMechanism& mechanism, gpu::DeviceSpan<Integer> sum, const DrawFrom& from,
               gpu::StreamHandle stream);
template <class Integer>
void privatise_shard(const GridMechanism& mechanism, gpu::DeviceSpan<Integer> part, std::size_t begin,
                     const DrawFrom& from, gpu::StreamHandle stream);
/// out[i] = float(sum[i] * (spacing * factor)), as the host's. `factor` public, finite.
template <class Integer>
void release(const GridMechanism& mechanism, gpu::DeviceSpan<const Integer> sum, gpu::DeviceSpan<float> out,
             double factor, gpu::StreamHandle stream);

/// Weighted's scales, or those of elements [begin, begin + count) for a shard, on the device: 4 bytes an element.
class DeviceWeighted {
 public:
  DeviceWeighted(const Weighted& mechanism, gpu::StreamHandle stream);
  DeviceWeighted(const Weighted& mechanism, std::size_t begin, std::size_t count, gpu::StreamHandle stream);
  [[nodiscard]] std::size_t size() const noexcept { return scales_.size(); }
  /// `part` holds this shard's elements; element i of the *whole* takes draw first + i. T as in privatise(Isotropic).
  template <class T>
  void privatise(gpu::DeviceSpan<T> part, const DrawFrom& from, gpu::StreamHandle stream) const;

 private:
  std::size_t begin_;
  gpu::Buffer<float> scales_;
};

/// BlockDiagonal's table, or the part of elements [begin, begin + count).
class DeviceBlockDiagonal {
 public:
  DeviceBlockDiagonal(const BlockDiagonal& mechanism, gpu::StreamHandle stream);
  DeviceBlockDiagonal(const BlockDiagonal& mechanism, std::size_t begin, std::size_t count, gpu::StreamHandle stream);
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  template <class T>
  void privatise(gpu::DeviceSpan<T> part, const DrawFrom& from, gpu::StreamHandle stream) const;

 private:
  std::size_t begin_;
  std::size_t size_;
  gpu::Buffer<std::uint64_t> ends_;
  gpu::Buffer<float> scales_;
  gpu::Buffer<std::uint32_t> hints_;
};

/// Sparse's mask, or its part in [begin, begin + count), on the device: 4 bytes a kept element (8 from 2^32 elements
/// on) and 4 more of work space.
class DeviceSparse {
 public:
  DeviceSparse(const Sparse& mechanism, gpu::StreamHandle stream);
  DeviceSparse(const Sparse& mechanism, std::size_t begin, std::size_t count, gpu::StreamHandle stream);
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t kept() const noexcept { return kept_; }
  /// Zeroes what is outside the mask and adds noise inside. The j-th kept position of the *whole* takes draw first + j.
  template <class T>
  void privatise(gpu::DeviceSpan<T> part, const DrawFrom& from, gpu::StreamHandle stream);
  /// values[j] = round(fma(scale, z_j, part[kept position j])): the released numbers alone; `part` stays as it is,
  /// exact and secret.
  template <class T>
  void release(gpu::DeviceSpan<const T> part, gpu::DeviceSpan<T> values, const DrawFrom& from,
               gpu::StreamHandle stream) const;

 private:
  float scale_;
  std::size_t size_;
  std::size_t kept_;
  std::uint64_t rank_;
  bool wide_;
  gpu::Memory positions_;
  gpu::Buffer<float> values_;
};

}  // namespace dpflash::noise
