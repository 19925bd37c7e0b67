#include <algorithm>

#include "dpflash/noise/sparse.hpp"
#include "structure/checks.hpp"

namespace dpflash::noise {

using namespace structure;

Mask::Mask(std::size_t size, std::vector<std::uint64_t> kept) : size_(size), kept_(std::move(kept)) {
  if (kept_.empty()) throw accounting::UnusableInput("mask", "no kept coordinate", "at least one");
}

Mask Mask::of_indices(std::size_t dimension, std::span<const std::uint64_t> kept) {
  check_dimension(dimension);
  for (std::size_t j = 0; j < kept.size(); ++j)
    if (kept[j] >= dimension || (j > 0 && kept[j] <= kept[j - 1]))
      throw accounting::UnusableInput("kept[" + std::to_string(j) + "]", std::to_string(kept[j]),
                                      "strictly increasing positions below " + std::to_string(dimension));
  return {dimension, {kept.begin(), kept.end()}};
}

Mask Mask::of_bits(std::span<const std::uint8_t> bits) {
  check_dimension(bits.size());
  std::vector<std::uint64_t> kept;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (bits[i] > 1)
      throw accounting::UnusableInput("bits[" + std::to_string(i) + "]", std::to_string(bits[i]), "0 or 1");
    if (bits[i] == 1) kept.push_back(i);
  }
  return {bits.size(), std::move(kept)};
}

Mask Mask::n_of_m(std::size_t dimension, std::size_t n, std::size_t m, std::size_t offset) {
  check_dimension(dimension);
  if (m < 1 || m > kMostElements) throw accounting::UnusableInput("m", std::to_string(m), "an integer in [1, 2^56]");
  if (n < 1 || n > m)
    throw accounting::UnusableInput("n", std::to_string(n), "an integer in [1, " + std::to_string(m) + "]");
  std::vector<std::uint64_t> kept;
  std::size_t phase = offset % m;
  for (std::size_t i = 0; i < dimension; ++i) {
    if (phase < n) kept.push_back(i);
    if (++phase == m) phase = 0;
  }
  return {dimension, std::move(kept)};
}

Mask Mask::every_kth(std::size_t dimension, std::size_t k, std::size_t offset) {
  if (k < 1 || k > kMostElements) throw accounting::UnusableInput("k", std::to_string(k), "an integer in [1, 2^56]");
  return n_of_m(dimension, 1, k, offset);
}

Mask Mask::band(std::size_t rows, std::size_t columns, std::size_t below, std::size_t above) {
  check_dimension(rows, "rows");
  check_dimension(columns, "columns");
  if (rows > kMostElements / columns)
    throw accounting::UnusableInput("rows", std::to_string(rows), "rows * columns at most 2^56");
  std::vector<std::uint64_t> kept;
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t first = i > below ? i - below : 0;
    const std::size_t end = above >= columns || i >= columns - above ? columns : i + above + 1;
    for (std::size_t j = first; j < end; ++j) kept.push_back(std::uint64_t{i} * columns + j);
  }
  return {rows * columns, std::move(kept)};
}

std::uint64_t Mask::rank_of(std::size_t position) const {
  return static_cast<std::uint64_t>(std::lower_bound(kept_.begin(), kept_.end(), position) - kept_.begin());
}

}  // namespace dpflash::noise
