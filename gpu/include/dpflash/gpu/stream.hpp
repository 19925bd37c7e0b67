// Streams and memory of a CUDA device. No CUDA header is needed to include this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

struct CUstream_st;

namespace dpflash::gpu {

/// A cudaStream_t; nullptr is the default stream. Every call of this library that works on the device takes one and
/// returns before the work is done.
using StreamHandle = CUstream_st*;

/// Devices that can run this build's kernels (compute capability 8.0 and up); 0 without a driver. Never throws.
int device_count() noexcept;

/// An owned, non-blocking stream on the current device. Throws DeviceError.
class Stream {
 public:
  Stream();
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();
  [[nodiscard]] StreamHandle handle() const noexcept { return handle_; }
  /// Waits until all that was queued has run; throws DeviceError when any of it failed.
  void synchronise() const;

 private:
  StreamHandle handle_ = nullptr;
};

/// Owned bytes in the current device's memory, uninitialised (cudaMalloc, which may wait for the device: not for the
/// hot path).
class Memory {
 public:
  Memory() = default;
  /// Throws DeviceError when there is not enough memory.
  explicit Memory(std::size_t bytes);
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  ~Memory();
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A view of `size` elements in device memory.
template <class T>
struct DeviceSpan {
  T* data = nullptr;
  std::size_t size = 0;
};

/// An owned device array.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : memory_(size * sizeof(T)), size_(size) {}
  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(memory_.data()); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] DeviceSpan<T> span() const noexcept { return {data(), size_}; }

 private:
  Memory memory_;
  std::size_t size_ = 0;
};

/// Copies host to device; the host array must stay until the stream has passed it. Throws DeviceError.
void copy_to_device(void* device, const void* host, std::size_t bytes, StreamHandle stream);
/// Copies device to host, in stream order; the caller waits before it reads. Throws DeviceError.
void copy_to_host(void* host, const void* device, std::size_t bytes, StreamHandle stream);
/// Overwrites with zero bytes, in stream order. Throws DeviceError.
void zero(void* device, std::size_t bytes, StreamHandle stream);

/// Waits until all that was queued on the stream has run; throws DeviceError when any of it failed.
void synchronise(StreamHandle stream);

/// Whether work queued on the stream now goes into a CUDA graph. Throws DeviceError.
[[nodiscard]] bool is_capturing(StreamHandle stream);

/// A device copy of a host array, in stream order: the host array must stay until the stream has passed it.
template <class T>
Buffer<T> upload(std::span<const T> host, StreamHandle stream) {
  Buffer<T> buffer(host.size());
  if (!host.empty()) copy_to_device(buffer.data(), host.data(), host.size_bytes(), stream);
  return buffer;
}

}  // namespace dpflash::gpu
