// Public shapes as weights.
#include <cmath>

#include "dpflash/noise/weighted.hpp"
#include "structure/checks.hpp"

namespace dpflash::noise {

using namespace structure;

namespace {

void check_weight(float weight, const char* field) {
  if (!is_positive_normal(weight)) throw accounting::UnusableInput(field, text(weight), "a positive normal float");
}

void check_shape(std::size_t rows, std::size_t columns, const char* row_field, const char* column_field) {
  check_dimension(rows, row_field);
  check_dimension(columns, column_field);
  if (rows > (std::uint64_t{1} << 40) / columns)
    throw accounting::UnusableInput(row_field, std::to_string(rows), "at most 2^40 weights");
}

}  // namespace

std::vector<float> attention_mask_weights(std::span<const std::uint8_t> mask, float kept, float masked) {
  check_dimension(mask.size(), "mask.size");
  check_weight(kept, "kept");
  check_weight(masked, "masked");
  std::vector<float> weights(mask.size());
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] > 1)
      throw accounting::UnusableInput("mask[" + std::to_string(i) + "]", std::to_string(mask[i]), "0 or 1");
    weights[i] = mask[i] == 1 ? kept : masked;
  }
  return weights;
}

std::vector<float> window_weights(std::size_t rows, std::size_t columns, std::size_t half_width, float inside,
                                  float outside) {
  check_shape(rows, columns, "rows", "columns");
  check_weight(inside, "inside");
  check_weight(outside, "outside");
  std::vector<float> weights(rows * columns);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j)
      weights[i * columns + j] = (i > j ? i - j : j - i) <= half_width ? inside : outside;
  return weights;
}

std::vector<float> position_weights(std::size_t length, std::size_t width, double exponent) {
  check_shape(length, width, "length", "width");
  if (!(std::abs(exponent) <= 4)) throw accounting::UnusableInput("exponent", text(exponent), "a number in [-4, 4]");
  std::vector<float> weights(length * width);
  for (std::size_t i = 0; i < length; ++i) {
    const auto weight = static_cast<float>(std::pow(static_cast<double>(i) + 1, -exponent));
    check_weight(weight, "exponent");
    for (std::size_t j = 0; j < width; ++j) weights[i * width + j] = weight;
  }
  return weights;
}

}  // namespace dpflash::noise
