// What the opaque handles hold.
#pragma once

#include <dpflash/attention/allocation.hpp>
#include <dpflash/ledger/ledger.hpp>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#ifdef DPFLASH_HAS_CUDA
#include <dpflash/attention/forward.hpp>
#include <dpflash/noise/device.hpp>
#include <optional>
#endif

#include "guard.hpp"
#include "registry.hpp"
#include "structs.hpp"

struct dpf_calibration {
  dpflash::noise::Calibration value;
};

struct dpf_noise_source {
  dpflash::noise::NoiseSource value;
};

struct dpf_ledger {
  dpflash::ledger::Ledger value;
};

struct dpf_attention_noise {
  dpflash::attention::NoiseTable table;
#ifdef DPFLASH_HAS_CUDA
  std::optional<dpflash::attention::DeviceNoise> device = std::nullopt;
#endif
};

#ifdef DPFLASH_HAS_CUDA
struct dpf_graph_steps {
  dpflash::noise::GraphSteps value;
};
#endif

namespace dpflash::c {

/// Runs `make`, which returns a new handle, and stores it; null after a failure.
template <class Handle, class Make>
int make_handle(Handle** handle, const char* name, const Make& make) noexcept {
  if (handle != nullptr) *handle = nullptr;
  return guard([&] {
    require(handle, name);
    *handle = Registry<Handle>::add(std::unique_ptr<Handle>(make()));
  });
}

}  // namespace dpflash::c
