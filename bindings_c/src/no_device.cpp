// The device's functions in a build without the CUDA parts.
#include <dpflash/dpflash.h>

#include "errors.hpp"
#include "guard.hpp"

namespace dpflash::c {
namespace {

int unsupported() noexcept {
  return guard([] {
    throw Unsupported(
        "this build of dpflash has no CUDA parts; build with -DDPFLASH_CUDA=ON, or use dpf_privatise and "
        "dpf_attention_reference");
  });
}

}  // namespace
}  // namespace dpflash::c

using dpflash::c::unsupported;

int dpf_graph_steps_create(uint32_t, uint32_t, uint32_t, uint32_t, void*, dpf_graph_steps** steps) {
  if (steps != nullptr) *steps = nullptr;
  return unsupported();
}

void dpf_graph_steps_free(dpf_graph_steps*) {}

int dpf_privatise_device(const dpf_calibration*, double, int32_t, void*, size_t, const dpf_draws*, void*) {
  return unsupported();
}

int dpf_attention_noise_upload(dpf_attention_noise*, void*) { return unsupported(); }

int dpf_attention_workspace(const dpf_attention*, const dpf_attention_tensors*, size_t*) { return unsupported(); }

int dpf_attention_forward(const dpf_attention*, const dpf_attention_tensors*, const dpf_attention_noise*,
                          const dpf_draws*, void*, size_t, void*) {
  return unsupported();
}
