#include <dpflash/gpu/error.hpp>

#include "floors.hpp"

namespace dpflash::benchmarks {

namespace {

constexpr unsigned kThreads = 512;

unsigned blocks_for(std::size_t items) { return static_cast<unsigned>((items + kThreads - 1) / kThreads); }

__device__ __forceinline__ uint4 changed(uint4 v, unsigned by) { return make_uint4(v.x ^ by, v.y, v.z, v.w); }

__global__ void touch_kernel(uint4* data, std::size_t count) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) data[i] = changed(data[i], 1);
}

__global__ void touch_with_kernel(uint4* data, std::size_t count, const uint4* extra, std::size_t extra_count) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= count) return;
  const unsigned by = i < extra_count ? extra[i].x & 1u : 1u;
  data[i] = changed(data[i], by);
}

/// Four loads in flight a thread; the sum is written only if it is one value in 2^32, so that no load can be left out.
__global__ void read_kernel(const uint4* data, std::size_t count, std::uint32_t* sink) {
  const std::size_t first = std::size_t{blockIdx.x} * kThreads * 4 + threadIdx.x;
  std::uint32_t sum = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const std::size_t i = first + std::size_t{kThreads} * k;
    if (i < count) {
      const uint4 v = __ldcs(data + i);
      sum += v.x ^ v.y ^ v.z ^ v.w;
    }
  }
  if (sum == 0x12345678u) *sink = sum;
}

__global__ void gather_kernel(float* out, const float* values, const std::uint32_t* index, std::size_t count) {
  const std::size_t j = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (j < count) out[j] = values[index[j]] + 1.0f;
}

__global__ void scatter_kernel(float* values, const float* in, const std::uint32_t* index, std::size_t count) {
  const std::size_t j = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (j < count) values[index[j]] = in[j];
}

}  // namespace

void touch(void* data, std::size_t bytes) {
  touch_kernel<<<blocks_for(bytes / 16), kThreads>>>(static_cast<uint4*>(data), bytes / 16);
  gpu::check_launch("touch");
}

void touch_with(void* data, std::size_t bytes, const void* extra, std::size_t extra_bytes) {
  touch_with_kernel<<<blocks_for(bytes / 16), kThreads>>>(static_cast<uint4*>(data), bytes / 16,
                                                          static_cast<const uint4*>(extra), extra_bytes / 16);
  gpu::check_launch("touch_with");
}

void read(const void* data, std::size_t bytes, int times, std::uint32_t* sink) {
  for (int k = 0; k < times; ++k)
    read_kernel<<<(blocks_for(bytes / 16) + 3) / 4, kThreads>>>(static_cast<const uint4*>(data), bytes / 16, sink);
  gpu::check_launch("read");
}

void gather(float* out, const float* values, const std::uint32_t* index, std::size_t count) {
  gather_kernel<<<blocks_for(count), kThreads>>>(out, values, index, count);
  gpu::check_launch("gather");
}

void scatter(float* values, const float* in, const std::uint32_t* index, std::size_t count) {
  scatter_kernel<<<blocks_for(count), kThreads>>>(values, in, index, count);
  gpu::check_launch("scatter");
}

}  // namespace dpflash::benchmarks
