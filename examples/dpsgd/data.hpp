// The UCI digits: 1797 images of 8 x 8 pixels, with their digit.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dpsgd {

/// Images of 64 pixels in [0, 1], row after row, and a label in 0 .. 9 for each.
struct Images {
  std::vector<float> pixels;
  std::vector<int> labels;
  [[nodiscard]] std::size_t size() const noexcept { return labels.size(); }
  [[nodiscard]] const float* image(std::size_t i) const noexcept { return pixels.data() + 64 * i; }
};

struct Digits {
  Images train;
  Images test;
};

/// Reads `path`, one image a line: 64 pixels 0 .. 16, the label. Line i (from 0) is for testing when i mod 5 = 4: a
/// public, fixed split. Pixels are divided by the public constant 16: nothing is computed from the data. Throws
/// std::runtime_error naming the line.
Digits read_digits(const std::string& path);

}  // namespace dpsgd
