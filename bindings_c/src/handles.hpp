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

namespace dpflash::c {

struct CalibrationObject {
  noise::Calibration value;
};

struct NoiseSourceObject {
  noise::NoiseSource value;
};

struct LedgerObject {
  ledger::Ledger value;
};

struct AttentionNoiseObject {
  attention::NoiseTable table;
#ifdef DPFLASH_HAS_CUDA
  std::optional<attention::DeviceNoise> device = std::nullopt;
#endif
};

#ifdef DPFLASH_HAS_CUDA
struct GraphStepsObject {
  noise::GraphSteps value;
};
#endif

template <>
struct ObjectOf<dpf_calibration> {
  using Type = CalibrationObject;
};
template <>
struct ObjectOf<dpf_noise_source> {
  using Type = NoiseSourceObject;
};
template <>
struct ObjectOf<dpf_ledger> {
  using Type = LedgerObject;
};
template <>
struct ObjectOf<dpf_attention_noise> {
  using Type = AttentionNoiseObject;
};
#ifdef DPFLASH_HAS_CUDA
template <>
struct ObjectOf<dpf_graph_steps> {
  using Type = GraphStepsObject;
};
#endif

/// Runs `make`, which returns a new object, and stores its handle; null after a failure.
template <class Handle, class Make>
int make_handle(Handle** handle, const char* name, const Make& make) noexcept {
  if (handle != nullptr) *handle = nullptr;
  return guard([&] {
    require(handle, name);
    *handle = Registry<Handle>::add(std::unique_ptr<Object<Handle>>(make()));
  });
}

}  // namespace dpflash::c
