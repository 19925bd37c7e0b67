// Failures of the CUDA runtime as exceptions.
#pragma once

#include <stdexcept>
#include <string>

namespace dpflash::gpu {

/// A call of the CUDA runtime or of a CUDA library failed, or there is no device. The message names the call and the
/// runtime's reason.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws DeviceError when `status`, a cudaError_t, is not cudaSuccess.
void check(int status, const char* call);

/// Throws DeviceError when the last kernel launch of this thread failed.
void check_launch(const char* kernel);

}  // namespace dpflash::gpu
