#include <algorithm>
#include <cmath>
#include <utility>

#include "device/noise_access.hpp"
#include "dpflash/attention/allocation.hpp"
#include "reference/problem.hpp"

namespace dpflash::attention {

namespace {

void check_deviations(std::span<const float> sigma) {
  for (std::size_t i = 0; i < sigma.size(); ++i)
    if (!(sigma[i] >= 0x1p-126f) || !std::isfinite(sigma[i]))
      throw accounting::UnusableInput("sigma[" + std::to_string(i) + "]", text(static_cast<double>(sigma[i])),
                                      "a normal float above 0");
}

using Lengths = std::pair<std::int64_t, std::int64_t>;

Lengths pair_of(const SequenceLengths& lengths) { return {lengths.queries, lengths.keys}; }

[[noreturn]] void refuse(const std::string& field, const std::string& value, const std::string& table) {
  throw accounting::UnusableInput(field, value, "what the noise was made for: " + table);
}

void check_same(const char* field, double value, double table) {
  if (value != table) refuse(field, text(value), text(table));
}

}  // namespace

DeviceNoise::DeviceNoise(const NoiseTable& table, gpu::StreamHandle stream)
    : DeviceNoise(table.per_row() ? stated(table.sigma(), table.heads(), stream) : stated(table.sigma())) {
  question_ = table.question();
  charged_[0] = covers_kernel(KernelElement::bf16, *question_);
  charged_[1] = covers_kernel(KernelElement::fp16, *question_);
  std::vector<SequenceLengths>& lengths = question_->shape.lengths;
  const auto before = [](const auto& a, const auto& b) { return pair_of(a) < pair_of(b); };
  const auto same = [](const auto& a, const auto& b) { return pair_of(a) == pair_of(b); };
  std::sort(lengths.begin(), lengths.end(), before);
  lengths.erase(std::unique(lengths.begin(), lengths.end(), same), lengths.end());
}

void NoiseAccess::check(const DeviceNoise& noise, const ForwardOptions& options) {
  if (!noise.question_) return;
  const Shape& table = noise.question_->shape;
  const Shape& shape = options.shape;
  check_same("H", shape.heads, table.heads);
  check_same("H_kv", shape.kv_heads, table.kv_heads);
  check_same("D", shape.head_dim, table.head_dim);
  check_same("causal", shape.causal ? 1 : 0, table.causal ? 1 : 0);
  check_same("window[0]", static_cast<double>(shape.window.left), static_cast<double>(table.window.left));
  check_same("window[1]", static_cast<double>(shape.window.right), static_cast<double>(table.window.right));
  check_same("scale", scale_of(shape), scale_of(table));
  check_same("softcap", shape.softcap.value_or(0), table.softcap.value_or(0));
  for (std::int32_t g = 0; g < shape.kv_heads; ++g) {
    const Clips& clips = noise.question_->clips;
    check_same("C_q", clip_of(options.clips.q, g), clip_of(clips.q, g));
    check_same("C_k", clip_of(options.clips.k, g), clip_of(clips.k, g));
    check_same("C_v", clip_of(options.clips.v, g), clip_of(clips.v, g));
  }
  const auto before = [](const SequenceLengths& a, const SequenceLengths& b) { return pair_of(a) < pair_of(b); };
  const std::size_t distinct = options.packed ? shape.lengths.size() : 1;
  for (std::size_t s = 0; s < distinct; ++s)
    if (!std::binary_search(table.lengths.begin(), table.lengths.end(), shape.lengths[s], before))
      refuse("lengths[" + std::to_string(s) + "]",
             std::to_string(shape.lengths[s].queries) + ", " + std::to_string(shape.lengths[s].keys),
             std::to_string(table.lengths.size()) + " other pairs of lengths");
  if (!noise.charged_[options.element == Element::bf16 ? 0 : 1])
    throw accounting::UnusableInput("noise.precision", "less than the kernel's arithmetic adds",
                                    std::string("an analysis charged with kernel_precision() of ") +
                                        (options.element == Element::bf16 ? "bf16" : "fp16"));
}

DeviceNoise DeviceNoise::stated(std::span<const float> per_head) {
  check_deviations(per_head);
  DeviceNoise noise;
  noise.heads_ = static_cast<std::int32_t>(per_head.size());
  noise.per_head_.assign(per_head.begin(), per_head.end());
  return noise;
}

DeviceNoise DeviceNoise::stated(std::span<const float> table, std::int32_t heads, gpu::StreamHandle stream) {
  check_deviations(table);
  if (heads < 1 || table.empty() || table.size() % static_cast<std::size_t>(heads) != 0)
    throw accounting::UnusableInput("sigma.size", std::to_string(table.size()),
                                    "a multiple of the " + std::to_string(heads) + " heads, above 0");
  DeviceNoise noise;
  noise.heads_ = heads;
  noise.rows_ = static_cast<std::int64_t>(table.size()) / heads;
  noise.table_ = gpu::upload<float>(table, stream);
  gpu::synchronise(stream);
  return noise;
}

}  // namespace dpflash::attention
