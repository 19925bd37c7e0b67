// Noise on sums, as host and device share it.
#pragma once

#include <dpflash/accounting/error.hpp>
#include <dpflash/noise/elements.hpp>
#include <dpflash/noise/laplace.hpp>

#include "attention_call.hpp"
#include "handles.hpp"

namespace dpflash::c {

/// A call's sum: so many elements at `data`. A null pointer without elements is allowed.
template <class T>
T* elements_at(void* data, std::size_t count) {
  if (count != 0) require(data, "sum");
  if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0)
    throw accounting::UnusableInput("sum", "an address that is no multiple of " + std::to_string(alignof(T)),
                                    "memory aligned to its elements");
  return static_cast<T*>(data);
}

/// Calls gaussian(mechanism, T) for a Gaussian calibration with T of the element, laplace(mechanism) for a Laplace one.
template <class Gaussian, class Laplace>
void with_mechanism(const noise::Calibration& calibration, double clip, std::int32_t element, std::size_t count,
                    const Gaussian& gaussian, const Laplace& laplace) {
  if (calibration.family() == noise::Family::laplace) {
    if (element != DPF_F32)
      throw accounting::UnusableInput("element", std::to_string(element), "DPF_F32 with a Laplace calibration");
    return laplace(noise::Laplace(count, clip, calibration));
  }
  const noise::Isotropic mechanism(count, clip, calibration);
  if (element == DPF_F32) return gaussian(mechanism, float{});
  if (element == DPF_BF16) return gaussian(mechanism, noise::BFloat16{});
  if (element == DPF_F16) return gaussian(mechanism, noise::Float16{});
  throw accounting::UnusableInput("element", std::to_string(element), "DPF_F32, DPF_BF16 or DPF_F16");
}

}  // namespace dpflash::c
