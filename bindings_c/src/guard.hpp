// The one place where exceptions become status codes.
#pragma once

#include <dpflash/dpflash.h>

#include <string_view>

namespace dpflash::c {

/// Stores the reason of this thread's last failure, cut to what dpf_last_error() holds. Never throws.
void set_last_error(std::string_view reason) noexcept;

/// The code for the exception being handled; its reason becomes the last error.
int status_of_current_exception() noexcept;

/// Runs the body of a C function.
template <class Body>
int guard(const Body& body) noexcept {
  try {
    body();
    return DPF_OK;
  } catch (...) {
    return status_of_current_exception();
  }
}

}  // namespace dpflash::c
