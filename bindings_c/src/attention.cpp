// Noise sources, and attention on the host.
#include <dpflash/dpflash.h>

#include <dpflash/accounting/error.hpp>
#include <dpflash/attention/reference.hpp>

#include "attention_call.hpp"
#include "attention_noise.hpp"
#include "handles.hpp"

namespace dpflash::c {
namespace {

using accounting::UnusableInput;
using noise::Generator;
using noise::NoiseSource;

Generator generator_of(std::int32_t generator) {
  switch (generator) {
    case DPF_PHILOX:
      return Generator::philox;
    case DPF_CHACHA12:
      return Generator::chacha12;
    case DPF_CHACHA20:
      return Generator::chacha20;
    default:
      throw UnusableInput("generator", std::to_string(generator), "DPF_PHILOX, DPF_CHACHA12 or DPF_CHACHA20");
  }
}

template <class T>
void run_reference(const AttentionCall& call, const dpf_attention_tensors& t, const dpf_attention_noise* noise,
                   const dpf_draws* draws) {
  const attention::ReferenceTensors<T> tensors{.q = tensor_of<const T>(t.q, t.q_strides),
                                               .k = tensor_of<const T>(t.k, t.k_strides),
                                               .v = tensor_of<const T>(t.v, t.v_strides),
                                               .out = tensor_of<T>(t.out, t.out_strides),
                                               .clean = tensor_of<T>(t.clean, t.clean_strides),
                                               .lse = static_cast<T*>(t.lse),
                                               .clipped = t.clipped};
  const attention::ReferenceOptions options{call.shape, call.clips, t.packed == 1};
  if (t.out == nullptr) {
    attention::reference<T>(tensors, options);
    return;
  }
  const auto table = held(noise, "noise");
  check_made_for(*table, call);
  const dpf_draws from = read_draws(draws);
  const auto source = held(from.source, "draws.source");
  if (from.steps != nullptr) throw UnusableInput("draws.steps", "a pointer", "NULL on the host");
  attention::private_reference<T>(tensors, options, table->table.sigma(), source->value,
                                  {.stream = from.stream, .step = from.step});
}

}  // namespace
}  // namespace dpflash::c

using namespace dpflash::c;

int dpf_noise_source_from_entropy(int32_t generator, dpf_noise_source** source) {
  return make_handle(source, "source",
                     [&] { return new NoiseSourceObject{NoiseSource::from_entropy(generator_of(generator))}; });
}

int dpf_noise_source_reproducible(int32_t generator, uint64_t seed, dpf_noise_source** source) {
  return make_handle(source, "source",
                     [&] { return new NoiseSourceObject{NoiseSource::reproducible(generator_of(generator), seed)}; });
}

void dpf_noise_source_free(dpf_noise_source* source) { Registry<dpf_noise_source>::remove(source); }

int dpf_attention_reference(const dpf_attention* attention, const dpf_attention_tensors* tensors,
                            const dpf_attention_noise* noise, const dpf_draws* draws) {
  return guard([&] {
    const AttentionCall call = read_attention(attention);
    const dpf_attention_tensors t = read_tensors(tensors);
    if (t.path != DPF_PATH_AUTO)
      throw UnusableInput("tensors.path", std::to_string(t.path), "DPF_PATH_AUTO on the host");
    if (t.element == DPF_F32) {
      run_reference<float>(call, t, noise, draws);
    } else if (t.element == DPF_F64) {
      run_reference<double>(call, t, noise, draws);
    } else {
      throw UnusableInput("tensors.element", std::to_string(t.element), "DPF_F32 or DPF_F64 on the host");
    }
  });
}
