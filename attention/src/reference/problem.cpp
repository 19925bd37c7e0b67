#include "reference/problem.hpp"

#include <tuple>

namespace dpflash::attention {

Places places_of(const Shape& shape, const Clips& clips, bool packed) {
  check(shape);
  check(clips, shape);
  Places places;
  places.packed = packed;
  places.first_q.push_back(0);
  places.first_k.push_back(0);
  for (std::size_t s = 0; s < shape.lengths.size(); ++s) {
    const SequenceLengths& lengths = shape.lengths[s];
    const SequenceLengths& first = shape.lengths.front();
    if (!packed && (lengths.queries != first.queries || lengths.keys != first.keys))
      throw accounting::UnusableInput("lengths[" + std::to_string(s) + "]",
                                      std::to_string(lengths.queries) + ", " + std::to_string(lengths.keys),
                                      "the first sequence's lengths, unless sequences are packed");
    places.rows = std::max(places.rows, lengths.queries);
    places.keys = std::max(places.keys, lengths.keys);
    places.first_q.push_back(places.first_q.back() + lengths.queries);
    places.first_k.push_back(places.first_k.back() + lengths.keys);
  }
  return places;
}

Extents query_extents(const Shape& shape, const Places& places) {
  return {places.packed ? 1 : places.batch(), places.packed ? places.total_q() : places.rows, shape.heads,
          shape.head_dim};
}

Extents key_extents(const Shape& shape, const Places& places) {
  return {places.packed ? 1 : places.batch(), places.packed ? places.total_k() : places.keys, shape.kv_heads,
          shape.head_dim};
}

void check_tensor(const char* field, bool has_data, const Tensor<const void>& strides, const Extents& extents) {
  if (extents.empty()) return;
  if (!has_data) throw accounting::UnusableInput(std::string(field) + ".data", "null", "the tensor's first element");
  const auto check_stride = [&](const char* name, std::int64_t stride, std::int64_t extent) {
    if (extent > 1 && (stride < 0 || stride > kMaxStride))
      throw accounting::UnusableInput(std::string(field) + "." + name, std::to_string(stride),
                                      "an integer in [0, 2^40]");
  };
  check_stride("batch_stride", strides.batch_stride, extents.batch);
  check_stride("row_stride", strides.row_stride, extents.rows);
  check_stride("head_stride", strides.head_stride, extents.heads);
}

void check_output(const char* field, bool has_data, const Tensor<const void>& strides, const Extents& extents) {
  check_tensor(field, has_data, strides, extents);
  if (extents.empty()) return;
  std::array<std::tuple<std::int64_t, std::int64_t, const char*>, 3> dimensions{
      {{strides.batch_stride, extents.batch, "batch_stride"},
       {strides.row_stride, extents.rows, "row_stride"},
       {strides.head_stride, extents.heads, "head_stride"}}};
  std::sort(dimensions.begin(), dimensions.end());
  // Each stride steps over all that the smaller ones reach: sufficient, and what every layout in use has. Products stay
  // below 2^40 * 2^60 only where they are compared, so they are taken in long double.
  long double reach = static_cast<long double>(extents.columns);
  for (const auto& [stride, extent, name] : dimensions) {
    if (extent <= 1) continue;
    if (static_cast<long double>(stride) < reach)
      throw accounting::UnusableInput(std::string(field) + "." + name, std::to_string(stride),
                                      "a stride over all that smaller strides reach: outputs do not overlap");
    reach += static_cast<long double>(stride) * static_cast<long double>(extent - 1);
  }
}

void check_magnitudes(const Shape& shape, const Clips& clips) {
  const auto check_number = [](const char* field, double value) {
    if (!(value >= 0x1p-40 && value <= 0x1p40))
      throw accounting::UnusableInput(field, text(value), "a magnitude in [2^-40, 2^40]");
  };
  for (const double c : clips.q) check_number("C_q", c);
  for (const double c : clips.k) check_number("C_k", c);
  for (const double c : clips.v) check_number("C_v", c);
  check_number("scale", std::abs(scale_of(shape)));
  if (shape.softcap) check_number("softcap", *shape.softcap);
}

void check_sums(const Shape& shape, const Clips& clips, const Places& places, double most) {
  for (std::int32_t g = 0; g < shape.kv_heads; ++g) {
    const double score = largest_score(shape, clips, g);
    const double sum = score + std::log(std::max(1.0, static_cast<double>(places.keys))) +
                       std::log(std::max(1.0, clip_of(clips.v, g)));
    if (!(sum <= most))
      throw accounting::UnusableInput("scale C_q C_k", text(score),
                                      "a largest score with score + ln(keys) + ln(max(1, C_v)) at most " + text(most));
  }
}

}  // namespace dpflash::attention
