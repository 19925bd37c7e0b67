#include <algorithm>

#include "device/lengths.hpp"
#include "dpflash/gpu/error.hpp"

namespace dpflash::attention::cuda {

namespace {

constexpr int kNumbers = 960;

struct Numbers {
  std::int32_t value[kNumbers];
};

__global__ void write_kernel(std::int32_t* device, const __grid_constant__ Numbers numbers, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    device[i] = numbers.value[i];
}

}  // namespace

void write_numbers(std::span<const std::int32_t> numbers, std::int32_t* device, gpu::StreamHandle stream) {
  for (std::size_t done = 0; done < numbers.size(); done += kNumbers) {
    Numbers chunk = {};
    const std::size_t count = std::min<std::size_t>(kNumbers, numbers.size() - done);
    std::copy_n(numbers.begin() + static_cast<std::ptrdiff_t>(done), count, chunk.value);
    write_kernel<<<1, 256, 0, stream>>>(device + done, chunk, static_cast<int>(count));
    gpu::check_launch("write_numbers");
  }
}

}  // namespace dpflash::attention::cuda
