// A shape that has been checked, and what its rows see.
#pragma once

#include <cstdint>
#include <dpflash/attention/shape.hpp>

namespace dpflash::attention {

/// Throws UnusableInput, naming the field, unless every number of the shape is in its range.
void check(const Shape& shape);
/// The same for the clips of a checked shape: finite, positive, one or one a kv head.
void check(const Clips& clips, const Shape& shape);

/// Keys [begin, end) that a row sees; empty when end <= begin.
struct Visible {
  std::int64_t begin;
  std::int64_t end;
  [[nodiscard]] std::int64_t count() const noexcept { return end > begin ? end - begin : 0; }
};

Visible visible(const Shape& shape, const SequenceLengths& lengths, std::int64_t row) noexcept;

/// The scale in force.
double scale_of(const Shape& shape) noexcept;

/// The clip of a kv head from a list of one or of all.
double clip_of(const std::vector<double>& clips, std::int32_t kv_head) noexcept;

/// The largest absolute value of a clipped score: |scale| C_q C_k, or what the softcap leaves of it.
double largest_score(const Shape& shape, const Clips& clips, std::int32_t kv_head) noexcept;

}  // namespace dpflash::attention
