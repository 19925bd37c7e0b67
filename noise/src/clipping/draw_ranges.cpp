#include "clipping/draw_ranges.hpp"

#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <string>
#include <utility>

namespace dpflash::noise {

using accounting::UnusableInput;

std::vector<DrawRange> draw_ranges(std::span<const TensorRows> tensors, std::uint64_t first) {
  constexpr std::uint64_t kDraws = std::uint64_t{1} << 56;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
  for (const TensorRows& tensor : tensors)
    if (tensor.width > 0) places.emplace_back(tensor.offset, tensor.offset + tensor.width);
  std::ranges::sort(places);
  for (std::size_t t = 1; t < places.size(); ++t)
    if (places[t].first < places[t - 1].second)
      throw UnusableInput("gradients.tensors",
                          "an overlap of two tensors at parameter " + std::to_string(places[t].first),
                          "one tensor a parameter");
  if (!places.empty() && (first > kDraws || places.back().second > kDraws - first))
    throw UnusableInput("position.first", std::to_string(first), "first + offset + width at most 2^56");
  std::vector<DrawRange> ranges;
  for (const auto& [begin, end] : places) {
    if (!ranges.empty() && ranges.back().first + ranges.back().count == first + begin)
      ranges.back().count += end - begin;
    else
      ranges.push_back({first + begin, end - begin});
  }
  return ranges;
}

}  // namespace dpflash::noise
