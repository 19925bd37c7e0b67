// Attention on a CUDA device. Without the CUDA parts: no_device.cpp.
#include <dpflash/dpflash.h>

#include <dpflash/accounting/error.hpp>
#include <dpflash/attention/forward.hpp>
#include <dpflash/noise/device.hpp>

#include "attention_call.hpp"
#include "attention_noise.hpp"
#include "handles.hpp"
#include "noise.hpp"

namespace dpflash::c {
namespace {

using accounting::UnusableInput;

gpu::StreamHandle stream_of(void* cuda_stream) { return static_cast<gpu::StreamHandle>(cuda_stream); }

attention::Path path_of(std::int32_t path) {
  return path == DPF_PATH_SM80   ? attention::Path::sm80
         : path == DPF_PATH_SM90 ? attention::Path::sm90
                                 : attention::Path::automatic;
}

attention::Element element_of(std::int32_t element) {
  if (element == DPF_BF16) return attention::Element::bf16;
  if (element == DPF_F16) return attention::Element::f16;
  throw UnusableInput("tensors.element", std::to_string(element), "DPF_BF16 or DPF_F16 on a device");
}

attention::ForwardTensors tensors_of(const dpf_attention_tensors& t) {
  // The library counts in unsigned long long, which has the size of uint64_t.
  static_assert(sizeof(unsigned long long) == sizeof(std::uint64_t));
  return {.q = tensor_of<const void>(t.q, t.q_strides),
          .k = tensor_of<const void>(t.k, t.k_strides),
          .v = tensor_of<const void>(t.v, t.v_strides),
          .out = tensor_of<void>(t.out, t.out_strides),
          .clean = tensor_of<void>(t.clean, t.clean_strides),
          .lse = static_cast<float*>(t.lse),
          .clipped = reinterpret_cast<unsigned long long*>(t.clipped)};
}

attention::ForwardOptions options_of(AttentionCall call, const dpf_attention_tensors& t) {
  return {.shape = std::move(call.shape),
          .clips = std::move(call.clips),
          .element = element_of(t.element),
          .packed = t.packed == 1,
          .path = path_of(t.path)};
}

void upload(AttentionNoiseObject& noise, gpu::StreamHandle stream) {
  if (noise.device) throw UnusableInput("noise", "uploaded already, a second upload", "one upload");
  noise.device.emplace(noise.table, stream);
}

}  // namespace
}  // namespace dpflash::c

using namespace dpflash::c;

int dpf_graph_steps_create(uint32_t stream, uint32_t first_step, uint32_t count, uint32_t launches, void* cuda_stream,
                           dpf_graph_steps** steps) {
  return make_handle(steps, "steps", [&] {
    return new GraphStepsObject{{stream, first_step, count, launches, stream_of(cuda_stream)}};
  });
}

void dpf_graph_steps_free(dpf_graph_steps* steps) { Registry<dpf_graph_steps>::remove(steps); }

int dpf_privatise_device(const dpf_calibration* calibration, double clip, int32_t element, void* sum, size_t count,
                         const dpf_draws* draws, void* cuda_stream) {
  return guard([&] {
    const auto object = held(calibration, "calibration");
    const dpf_draws given = read_draws(draws);
    const auto source = held(given.source, "draws.source");
    const auto steps = given.steps != nullptr ? held(given.steps, "draws.steps") : nullptr;
    const dpflash::noise::DrawFrom from =
        steps ? dpflash::noise::DrawFrom(source->value, steps->value, 0)
              : dpflash::noise::DrawFrom(source->value, {.stream = given.stream, .step = given.step});
    with_mechanism(
        object->value, clip, element, count,
        [&]<class T>(const dpflash::noise::Isotropic& mechanism, T) {
          dpflash::noise::privatise<T>(mechanism, {elements_at<T>(sum, count), count}, from, stream_of(cuda_stream));
        },
        [&](const dpflash::noise::Laplace& mechanism) {
          dpflash::noise::privatise(mechanism, {elements_at<float>(sum, count), count}, from, stream_of(cuda_stream));
        });
  });
}

int dpf_attention_noise_upload(dpf_attention_noise* noise, void* cuda_stream) {
  return guard([&] { upload(*held(noise, "noise"), stream_of(cuda_stream)); });
}

int dpf_attention_workspace(const dpf_attention* attention, const dpf_attention_tensors* tensors, size_t* bytes) {
  return guard([&] {
    require(bytes, "bytes");
    const dpf_attention_tensors t = read_tensors(tensors);
    *bytes = dpflash::attention::workspace_bytes(tensors_of(t), options_of(read_attention(attention), t));
  });
}

int dpf_attention_forward(const dpf_attention* attention, const dpf_attention_tensors* tensors,
                          const dpf_attention_noise* noise, const dpf_draws* draws, void* workspace,
                          size_t workspace_bytes, void* cuda_stream) {
  return guard([&] {
    const dpf_attention_tensors t = read_tensors(tensors);
    AttentionCall call = read_attention(attention);
    const auto table = held(noise, "noise");
    check_made_for(*table, call);
    if (!table->device) throw UnusableInput("noise", "not on a device", "a noise that was uploaded");
    const dpflash::attention::ForwardOptions options = options_of(std::move(call), t);
    const dpf_draws from = read_draws(draws);
    const auto source = held(from.source, "draws.source");
    const auto steps = from.steps != nullptr ? held(from.steps, "draws.steps") : nullptr;
    const dpflash::noise::DrawFrom taken =
        steps ? dpflash::noise::DrawFrom(source->value, steps->value, 0)
              : dpflash::noise::DrawFrom(source->value, {.stream = from.stream, .step = from.step});
    dpflash::attention::forward(tensors_of(t), options, *table->device, taken,
                                {static_cast<std::byte*>(workspace), workspace_bytes}, stream_of(cuda_stream));
  });
}
