#include "data.hpp"

#include <charconv>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace dpsgd {

namespace {

/// The number before the next comma, or before the end; `line` goes on after it. -1 when there is none in [0, most].
int next_number(std::string_view& line, int most) {
  int value = -1;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (error != std::errc() || value < 0 || value > most) return -1;
  const auto read = static_cast<std::size_t>(end - line.data());
  if (read < line.size() && line[read] != ',') return -1;
  line.remove_prefix(read < line.size() ? read + 1 : read);
  return value;
}

}  // namespace

Digits read_digits(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path + "; examples/dpsgd/fetch_digits gets it");
  Digits digits;
  std::string text;
  for (std::size_t i = 0; std::getline(file, text); ++i) {
    if (!text.empty() && text.back() == '\r') text.pop_back();
    std::string_view line = text;
    Images& images = i % 5 == 4 ? digits.test : digits.train;
    bool usable = true;
    for (int pixel = 0; pixel < 64; ++pixel) {
      const int value = next_number(line, 16);
      usable = usable && value >= 0;
      images.pixels.push_back(static_cast<float>(value) / 16.0f);
    }
    const int label = next_number(line, 9);
    if (!usable || label < 0 || !line.empty())
      throw std::runtime_error(path + ", line " + std::to_string(i + 1) +
                               ": not 64 pixels in 0..16 and a label in 0..9");
    images.labels.push_back(label);
  }
  if (digits.train.size() == 0 || digits.test.size() == 0) throw std::runtime_error(path + ": fewer than 5 images");
  return digits;
}

}  // namespace dpsgd
