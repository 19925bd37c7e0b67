#include "dpflash/noise/block_diagonal.hpp"

#include <algorithm>
#include <cmath>

#include "draw/draws.hpp"
#include "structure/checks.hpp"
#include "structure/fused.hpp"
#include "structure/norms.hpp"

namespace dpflash::noise {

using namespace structure;

namespace {

// Above sqrt(sum (C_b / scale_b)^2).
double mu_of(std::span<const BlockDiagonal::Entry> table) {
  double sum = 0;
  for (const auto& entry : table) {
    const double ratio = divide_up(entry.clip, entry.scale);
    sum = above(sum + multiply_up(ratio, ratio));
  }
  return sqrt_up(sum);
}

// The scales for noise multiplier 1, to rounding.
std::vector<double> unit_scales(std::span<const Block> blocks, Allocation allocation) {
  double sum_of_roots = 0;
  double sum_of_squares = 0;
  for (const Block& block : blocks) {
    sum_of_roots += block.clip * std::sqrt(static_cast<double>(block.size));
    sum_of_squares += block.clip * block.clip;
  }
  std::vector<double> scales;
  for (const Block& block : blocks) {
    switch (allocation) {
      case Allocation::least_error:
        scales.push_back(std::sqrt(block.clip / std::sqrt(static_cast<double>(block.size)) * sum_of_roots));
        break;
      case Allocation::same_scale:
        scales.push_back(std::sqrt(sum_of_squares));
        break;
      case Allocation::same_share:
        scales.push_back(block.clip * std::sqrt(static_cast<double>(blocks.size())));
        break;
    }
  }
  return scales;
}

void check_blocks(std::span<const Block> blocks) {
  if (blocks.empty()) throw accounting::UnusableInput("blocks", "an empty list", "at least one block");
  std::uint64_t total = 0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const std::string field = "blocks[" + std::to_string(b) + "]";
    check_dimension(blocks[b].size, field + ".size");
    check_clip(blocks[b].clip, field + ".clip");
    total += blocks[b].size;
    check_dimension(total, "sum of blocks.size");
  }
}

}  // namespace

BlockDiagonal::BlockDiagonal(std::span<const Block> blocks, Allocation allocation, const Calibration& calibration)
    : allocation_(allocation), calibration_(check_family(calibration, Family::gaussian)) {
  check_blocks(blocks);
  const std::vector<double> unit = unit_scales(blocks, allocation);
  const double noise = calibration.noise_multiplier();
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const std::string field = "blocks[" + std::to_string(b) + "].clip";
    table_.push_back({size_, blocks[b].size, blocks[b].clip, scale_of(noise * unit[b], field)});
    size_ += blocks[b].size;
  }
  // The allocation is correct to rounding; what is kept is only what the float scales themselves prove.
  const double most = 1 / noise * (1 - 2 * kUnit);
  for (mu_ = mu_of(table_); mu_ > most; mu_ = mu_of(table_))
    for (auto& entry : table_) entry.scale = scale_of(above(entry.scale));
}

void BlockDiagonal::clip(std::span<float> contribution) const {
  check_size(contribution.size(), size_, "contribution");
  for (const Entry& entry : table_) {
    const auto part = contribution.subspan(entry.begin, entry.size);
    scale_down(part, l2_norm(part), entry.clip);
  }
}

std::size_t BlockDiagonal::block_of(std::uint64_t element) const {
  const auto after = std::upper_bound(table_.begin(), table_.end(), element,
                                      [](std::uint64_t value, const Entry& entry) { return value < entry.begin; });
  return static_cast<std::size_t>(after - table_.begin()) - 1;
}

double BlockDiagonal::variance(std::size_t i) const {
  if (i >= size_) throw accounting::UnusableInput("i", std::to_string(i), "an index below " + std::to_string(size_));
  const double scale = table_[block_of(i)].scale;
  return scale * scale;
}

double BlockDiagonal::expected_squared_error() const {
  double sum = 0;
  for (const Entry& entry : table_)
    sum += static_cast<double>(entry.size) * static_cast<double>(entry.scale) * entry.scale;
  return sum;
}

void BlockDiagonal::privatise(std::span<float> sum, NoiseSource& source, const Position& position) const {
  check_size(sum.size(), size_, "sum");
  privatise_shard(sum, 0, source, position);
}

void BlockDiagonal::privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source,
                                    const Position& position) const {
  check_shard(begin, part.size(), size_);
  const Position from = later(position, begin);
  source.claim(from, part.size());
  with_draws(source, draw::Use::normal, from, part.size(), [&](std::uint64_t i, std::span<const float> z) {
    std::size_t done = 0;
    for (std::size_t b = block_of(begin + i); done < z.size(); ++b) {
      const std::uint64_t left = table_[b].begin + table_[b].size - (begin + i + done);
      const std::size_t n = std::min<std::size_t>(z.size() - done, left);
      fused_add(table_[b].scale, z.subspan(done, n), part.data() + i + done);
      done += n;
    }
  });
}

}  // namespace dpflash::noise
