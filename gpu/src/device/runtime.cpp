#include <cuda_runtime_api.h>

#include <string>
#include <utility>

#include "dpflash/gpu/error.hpp"
#include "dpflash/gpu/stream.hpp"

namespace dpflash::gpu {

void check(int status, const char* call) {
  if (status == cudaSuccess) return;
  const auto error = static_cast<cudaError_t>(status);
  throw DeviceError(std::string(call) + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return 0;
  }
  int usable = 0;
  for (int i = 0; i < count; ++i) {
    int major = 0;
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, i) == cudaSuccess && major >= 8) ++usable;
  }
  return usable;
}

Stream::Stream() { check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }

Stream::Stream(Stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

Stream::~Stream() {
  if (handle_ != nullptr) static_cast<void>(cudaStreamDestroy(handle_));
}

void Stream::synchronise() const { gpu::synchronise(handle_); }

Memory::Memory(std::size_t bytes) : bytes_(bytes) {
  if (bytes != 0) check(cudaMalloc(&data_, bytes), "cudaMalloc");
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Memory::~Memory() {
  if (data_ != nullptr) static_cast<void>(cudaFree(data_));
}

void copy_to_device(void* device, const void* host, std::size_t bytes, StreamHandle stream) {
  if (bytes != 0) check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
}

void copy_to_host(void* host, const void* device, std::size_t bytes, StreamHandle stream) {
  if (bytes != 0) check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
}

void zero(void* device, std::size_t bytes, StreamHandle stream) {
  if (bytes != 0) check(cudaMemsetAsync(device, 0, bytes, stream), "cudaMemsetAsync");
}

void synchronise(StreamHandle stream) { check(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }

bool is_capturing(StreamHandle stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace dpflash::gpu
