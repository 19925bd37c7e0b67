// cuRAND's host generator: test data and synthetic inputs. Not a source of private noise: its draws depend on the order
// of calls, and whoever knows the 64-bit seed can repeat them.
#pragma once

#include <cstdint>
#include <dpflash/gpu/stream.hpp>

namespace dpflash::gpu {

/// cuRAND's Philox4x32-10 host generator, bound to one stream.
class HostGenerator {
 public:
  /// Throws DeviceError.
  HostGenerator(std::uint64_t seed, StreamHandle stream);
  HostGenerator(const HostGenerator&) = delete;
  HostGenerator& operator=(const HostGenerator&) = delete;
  ~HostGenerator();

  /// Normal numbers of mean 0; `out.size` must be even (cuRAND's own rule). Throws DeviceError.
  void normal(DeviceSpan<float> out, float standard_deviation = 1.0f);
  /// Uniform numbers in (0, 1]. Throws DeviceError.
  void uniform(DeviceSpan<float> out);

 private:
  void* generator_ = nullptr;
};

}  // namespace dpflash::gpu
