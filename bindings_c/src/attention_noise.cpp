#include "attention_noise.hpp"

#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <utility>

#include "errors.hpp"

namespace dpflash::c {
namespace {

using accounting::UnusableInput;
using attention::Allocation;
using attention::FinitePrecision;
using attention::NoiseTable;
using attention::Sensitivity;

Allocation allocation_of(std::int32_t allocation) {
  switch (allocation) {
    case DPF_ALLOCATION_UNIFORM:
      return Allocation::uniform;
    case DPF_ALLOCATION_PER_HEAD:
      return Allocation::per_head;
    case DPF_ALLOCATION_OPTIMAL:
      return Allocation::optimal;
    default:
      throw UnusableInput("allocation", std::to_string(allocation), "a DPF_ALLOCATION_ constant");
  }
}

Sensitivity analysed(const char* shape, std::size_t shape_length) {
  attention::QuestionDocument document = attention::parse_question(read_text(shape, shape_length, "shape"));
  if (!document.sigma.empty())
    throw UnusableInput("sigma", "a value in the shape", "nothing: this call is for the noise");
  if (document.hetero_mu)
    throw UnusableInput("hetero_mu", "a value in the shape", "nothing: this call is for the noise");
  return Sensitivity(std::move(document.question));
}

AttentionNoiseObject* made(NoiseTable table) { return new AttentionNoiseObject{std::move(table)}; }

/// One clip a kv head, however they are given.
bool same_clips(const std::vector<double>& a, const std::vector<double>& b) {
  const auto at = [](const std::vector<double>& clips, std::size_t i) {
    return clips.size() == 1 ? clips[0] : clips[i];
  };
  if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return false;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (at(a, i) != at(b, i)) return false;
  }
  return true;
}

using Lengths = std::vector<std::pair<std::int64_t, std::int64_t>>;

Lengths distinct(const attention::Shape& shape) {
  Lengths out;
  for (const auto& [queries, keys] : shape.lengths) {
    if (out.empty() || out.back() != std::pair{queries, keys}) out.emplace_back(queries, keys);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

/// The first number of the call that differs from the noise's, or null.
const char* difference(const attention::SensitivityQuestion& noise, const AttentionCall& call) {
  const attention::Shape& a = noise.shape;
  const attention::Shape& b = call.shape;
  if (a.heads != b.heads || a.kv_heads != b.kv_heads) return "heads";
  if (a.head_dim != b.head_dim) return "head_dim";
  if (a.causal != b.causal) return "causal";
  if (a.window.left != b.window.left || a.window.right != b.window.right) return "window";
  if (a.scale != b.scale) return "scale";
  if (a.softcap != b.softcap) return "softcap";
  if (!same_clips(noise.clips.q, call.clips.q)) return "clip_q";
  if (!same_clips(noise.clips.k, call.clips.k)) return "clip_k";
  if (!same_clips(noise.clips.v, call.clips.v)) return "clip_v";
  const Lengths known = distinct(a);
  const Lengths asked = distinct(b);
  return std::includes(known.begin(), known.end(), asked.begin(), asked.end()) ? nullptr : "lengths";
}

}  // namespace

void check_made_for(const AttentionNoiseObject& noise, const AttentionCall& call) {
  if (const char* const other = difference(noise.table.question(), call)) {
    throw UnusableInput("noise", std::string("one that was made for another ") + other,
                        "noise for the shape of the call");
  }
}

}  // namespace dpflash::c

using namespace dpflash::c;

int dpf_attention_noise_calibrated(const char* shape, size_t shape_length, const dpf_calibration* calibration,
                                   int32_t allocation, dpf_attention_noise** noise) {
  return make_handle(noise, "noise", [&] {
    const Allocation how = allocation_of(allocation);
    return made(NoiseTable(analysed(shape, shape_length), held(calibration, "calibration")->value, how));
  });
}

int dpf_attention_noise_stated(const char* shape, size_t shape_length, const float* sigma, size_t count,
                               dpf_attention_noise** noise) {
  return make_handle(noise, "noise", [&] {
    require(sigma, "sigma");
    return made(NoiseTable::stated(analysed(shape, shape_length), {sigma, count}));
  });
}

void dpf_attention_noise_free(dpf_attention_noise* noise) { Registry<dpf_attention_noise>::remove(noise); }

int dpf_attention_noise_mu(const dpf_attention_noise* noise, double* mu) {
  return guard([&] {
    require(mu, "mu");
    *mu = held(noise, "noise")->table.mu();
  });
}

int dpf_attention_noise_sigma(const dpf_attention_noise* noise, float* sigma, size_t capacity, size_t* count) {
  return guard([&] {
    require(count, "count");
    const auto object = held(noise, "noise");
    const std::span<const float> numbers = object->table.sigma();
    *count = numbers.size();
    if (sigma == nullptr) return;
    if (capacity < numbers.size()) {
      throw BufferTooSmall("capacity: " + std::to_string(capacity) + "; there are " + std::to_string(numbers.size()));
    }
    std::copy(numbers.begin(), numbers.end(), sigma);
  });
}

int dpf_attention_noise_certificate_json(const dpf_attention_noise* noise, char* buffer, size_t capacity,
                                         size_t* size) {
  return guard([&] {
    const TextTarget target{buffer, capacity, size};
    target.check();
    target.write(held(noise, "noise")->table.certificate());
  });
}
