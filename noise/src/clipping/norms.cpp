#include <algorithm>
#include <string>

#include "clip/clip.hpp"
#include "clipping/checks.hpp"
#include "clipping/row_norm.hpp"
#include "draw/draws.hpp"

namespace dpflash::noise {

namespace {

using clip::kChunk;
using clip::kLanes;

double sum_of_squares(const float* x, std::uint64_t count) {
  double lane[kLanes] = {};
  std::uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::uint32_t l = 0; l < kLanes; ++l) {
      const double v = x[i + l];
      lane[l] += v * v;
    }
  for (std::uint32_t l = 0; i < count; ++i, ++l) {
    const double v = x[i];
    lane[l] += v * v;
  }
  clip::add_lanes(lane);
  return lane[0];
}

/// The number that `count` values come down to; `span` is a power of kChunk: what one child of this level covers.
double sum_of_level(const float* x, std::uint64_t count, std::uint64_t span) {
  if (span == 1) return sum_of_squares(x, count);
  double lane[kLanes] = {};
  for (std::uint64_t begin = 0, child = 0; begin < count; begin += span, ++child)
    lane[child % kLanes] += sum_of_level(x + begin, std::min(span, count - begin), span / kChunk);
  clip::add_lanes(lane);
  return lane[0];
}

double squared_norm(const float* x, std::uint64_t count) {
  std::uint64_t span = 1;
  while (span * kChunk < count) span *= kChunk;
  return sum_of_level(x, count, span);
}

}  // namespace

double row_squared_norm(std::span<const float> row) { return row.empty() ? 0.0 : squared_norm(row.data(), row.size()); }

std::uint64_t place_in_order(std::span<TensorRows> tensors) {
  std::uint64_t offset = 0;
  for (TensorRows& tensor : tensors) {
    tensor.offset = offset;
    offset += tensor.width;
  }
  return offset;
}

void squared_norms(const PerExampleGradients& gradients, std::uint32_t layers, std::span<double> out) {
  check(gradients, layers);
  check_size("out", out.size(), gradients.batch * layers, "batch x layers");
  std::uint64_t row = 1;
  for (const TensorRows& tensor : gradients.tensors) row += tensor.width;
  in_parallel(gradients.batch * row, row, [&](std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t b = begin / row; b < end / row; ++b) {
      const std::span<double> norms = out.subspan(b * layers, layers);
      std::ranges::fill(norms, 0.0);
      for (const TensorRows& tensor : gradients.tensors)
        if (tensor.width > 0) norms[tensor.layer] += squared_norm(tensor.data + b * stride_of(tensor), tensor.width);
    }
  });
}

}  // namespace dpflash::noise
