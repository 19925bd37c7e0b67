// Public numbers of a call, brought to the device with the launch itself.
#pragma once

#include <cstdint>
#include <dpflash/gpu/stream.hpp>
#include <span>

namespace dpflash::attention::cuda {

/// Writes the numbers to device memory, in stream order. They travel as launch parameters: the host array may go at
/// once, and a graph that captures the call keeps them. One launch for every 960.
void write_numbers(std::span<const std::int32_t> numbers, std::int32_t* device, gpu::StreamHandle stream);

}  // namespace dpflash::attention::cuda
