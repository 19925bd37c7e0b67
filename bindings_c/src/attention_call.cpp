#include "attention_call.hpp"

#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <iterator>
#include <utility>

#include "guard.hpp"
#include "structs.hpp"

namespace dpflash::c {
namespace {

using accounting::UnusableInput;

constexpr dpf_attention kAttention = DPF_ATTENTION_INIT;
constexpr dpf_attention_tensors kTensors = DPF_ATTENTION_TENSORS_INIT;
constexpr dpf_draws kDraws = DPF_DRAWS_INIT;

/// Refuses counts that no call can have before as many numbers are read.
constexpr std::int64_t kMostSequences = std::int64_t{1} << 22;
constexpr std::int64_t kMostClips = std::int64_t{1} << 16;

void check_range(const char* field, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value < least || value > most) {
    throw UnusableInput(field, std::to_string(value),
                        "an integer in [" + std::to_string(least) + ", " + std::to_string(most) + "]");
  }
}

std::vector<double> read_clips(const char* field, const double* clips, std::int64_t count) {
  require(clips, field);
  return {clips, clips + count};
}

/// The clean answer written over the private one would be released in its place.
void check_apart(const dpf_attention_tensors& t) {
  const void* const inputs[] = {t.q, t.k, t.v};
  const std::pair<const char*, const void*> outputs[] = {
      {"tensors.out", t.out}, {"tensors.clean", t.clean}, {"tensors.lse", t.lse}, {"tensors.clipped", t.clipped}};
  for (std::size_t i = 0; i < std::size(outputs); ++i) {
    const char* const field = outputs[i].first;
    const void* const data = outputs[i].second;
    const auto is_data = [data](const void* other) { return other == data; };
    const auto is_same = [data](const auto& other) { return other.second == data; };
    if (data != nullptr &&
        (std::any_of(std::begin(inputs), std::end(inputs), is_data) || std::any_of(outputs, outputs + i, is_same)))
      throw UnusableInput(field, "the address of another tensor", "memory of its own");
  }
}

}  // namespace

AttentionCall read_attention(const dpf_attention* given) {
  require(given, "attention");
  const dpf_attention a = read_struct(given, kAttention, "attention");
  check_range("attention.sequences", a.sequences, 0, kMostSequences);
  check_range("attention.clips", a.clips, 1, kMostClips);
  check_range("attention.causal", a.causal, 0, 1);
  if (a.sequences > 0) require(a.lengths, "attention.lengths");
  AttentionCall out;
  for (std::int64_t s = 0; s < a.sequences; ++s) out.shape.lengths.push_back({a.lengths[2 * s], a.lengths[2 * s + 1]});
  out.shape.heads = a.heads;
  out.shape.kv_heads = a.kv_heads;
  out.shape.head_dim = a.head_dim;
  out.shape.causal = a.causal == 1;
  out.shape.window = {a.window_left, a.window_right};
  if (a.scale != 0) out.shape.scale = a.scale;
  if (a.softcap != 0) out.shape.softcap = a.softcap;
  out.clips = {read_clips("attention.clip_q", a.clip_q, a.clips), read_clips("attention.clip_k", a.clip_k, a.clips),
               read_clips("attention.clip_v", a.clip_v, a.clips)};
  return out;
}

dpf_attention_tensors read_tensors(const dpf_attention_tensors* given) {
  require(given, "tensors");
  const dpf_attention_tensors tensors = read_struct(given, kTensors, "tensors");
  check_range("tensors.element", tensors.element, DPF_BF16, DPF_F64);
  check_range("tensors.packed", tensors.packed, 0, 1);
  check_range("tensors.path", tensors.path, DPF_PATH_AUTO, DPF_PATH_SM90);
  check_range("tensors.reserved", tensors.reserved, 0, 0);
  check_apart(tensors);
  return tensors;
}

dpf_draws read_draws(const dpf_draws* given) {
  require(given, "draws");
  const dpf_draws draws = read_struct(given, kDraws, "draws");
  require(draws.source, "draws.source");
  return draws;
}

}  // namespace dpflash::c

using namespace dpflash::c;

int dpf_attention_init(dpf_attention* attention, uint32_t abi_version) {
  return guard([&] { init_struct(attention, kAttention, abi_version, "attention"); });
}

int dpf_attention_tensors_init(dpf_attention_tensors* tensors, uint32_t abi_version) {
  return guard([&] { init_struct(tensors, kTensors, abi_version, "tensors"); });
}

int dpf_draws_init(dpf_draws* draws, uint32_t abi_version) {
  return guard([&] { init_struct(draws, kDraws, abi_version, "draws"); });
}
