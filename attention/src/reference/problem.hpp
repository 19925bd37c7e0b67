// What the host's and the device's call have in common: lengths that are laid out, tensors that are checked.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <dpflash/accounting/error.hpp>
#include <dpflash/attention/shape.hpp>
#include <dpflash/attention/tensor.hpp>
#include <string>
#include <vector>

#include "shape/shape.hpp"

namespace dpflash::attention {

inline constexpr std::int64_t kMaxStride = std::int64_t{1} << 40;

inline std::string text(double value) {
  std::array<char, 32> out{};
  return {out.data(), std::to_chars(out.data(), out.data() + out.size(), value).ptr};
}

/// Where sequences lie.
struct Places {
  bool packed = false;
  std::int64_t rows = 0;              ///< most queries of a sequence
  std::int64_t keys = 0;              ///< most keys of a sequence
  std::vector<std::int64_t> first_q;  ///< rows of queries before sequence b, and the total at the end
  std::vector<std::int64_t> first_k;

  [[nodiscard]] std::int64_t batch() const noexcept { return static_cast<std::int64_t>(first_q.size()) - 1; }
  [[nodiscard]] std::int64_t total_q() const noexcept { return first_q.back(); }
  [[nodiscard]] std::int64_t total_k() const noexcept { return first_k.back(); }
};

/// The row of element (b, i, h, 0).
template <class T>
T* row_of(const Tensor<T>& tensor, bool packed, std::int64_t first, std::int64_t b, std::int64_t i, std::int64_t h) {
  return tensor.data + (packed ? (first + i) * tensor.row_stride : b * tensor.batch_stride + i * tensor.row_stride) +
         h * tensor.head_stride;
}

/// Checks shape and clips, and that lengths are the same where sequences are not packed. Throws UnusableInput.
Places places_of(const Shape& shape, const Clips& clips, bool packed);

/// Extents of a tensor.
struct Extents {
  std::int64_t batch;  ///< 1 when packed
  std::int64_t rows;   ///< the total when packed
  std::int64_t heads;
  std::int64_t columns;
  [[nodiscard]] bool empty() const noexcept { return batch == 0 || rows == 0; }
};

Extents query_extents(const Shape& shape, const Places& places);
Extents key_extents(const Shape& shape, const Places& places);

/// Throws UnusableInput unless there is data and strides are in [0, 2^40].
void check_tensor(const char* field, bool has_data, const Tensor<const void>& strides, const Extents& extents);
/// The same, and no element of an output has another's place.
void check_output(const char* field, bool has_data, const Tensor<const void>& strides, const Extents& extents);

template <class T>
Tensor<const void> strides_of(const Tensor<T>& t) {
  return {t.data, t.batch_stride, t.row_stride, t.head_stride};
}

/// Throws UnusableInput unless clips, |scale| and softcap are in [2^-40, 2^40]: squared norms and clip factors are then
/// far from what binary32 cannot hold.
void check_magnitudes(const Shape& shape, const Clips& clips);

/// Largest float that is at most x > 0.
inline float float_down(double x) noexcept {
  const auto nearest = static_cast<float>(x);
  return static_cast<double>(nearest) > x ? std::nextafterf(nearest, 0.0f) : nearest;
}

/// Throws UnusableInput unless exp(largest score) * most keys * C_v <= exp(`most`) for every kv head.
void check_sums(const Shape& shape, const Clips& clips, const Places& places, double most);

}  // namespace dpflash::attention
