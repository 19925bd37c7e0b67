#include "dpflash/noise/sparse.hpp"

#include <algorithm>

#include "draw/draws.hpp"
#include "structure/checks.hpp"
#include "structure/norms.hpp"

namespace dpflash::noise {

using namespace structure;

Sparse::Sparse(Mask mask, double clip, const Calibration& calibration)
    : mask_(std::move(mask)), clip_(clip), calibration_(check_family(calibration, Family::gaussian)), scale_(0) {
  check_clip(clip);
  scale_ = scale_of(multiply_up(calibration.noise_multiplier(), clip));
}

void Sparse::clip(std::span<float> contribution) const {
  check_size(contribution.size(), size(), "contribution");
  std::size_t next = 0;
  for (const std::uint64_t at : mask_.kept()) {
    std::fill(contribution.begin() + static_cast<std::ptrdiff_t>(next),
              contribution.begin() + static_cast<std::ptrdiff_t>(at), 0.0f);
    next = at + 1;
  }
  std::fill(contribution.begin() + static_cast<std::ptrdiff_t>(next), contribution.end(), 0.0f);
  scale_down(contribution, l2_norm_at(contribution, mask_.kept()), clip_);
}

double Sparse::mu() const { return divide_up(clip_, scale_); }

double Sparse::variance(std::size_t i) const {
  if (i >= size()) throw accounting::UnusableInput("i", std::to_string(i), "an index below " + std::to_string(size()));
  const auto kept = mask_.kept();
  return std::binary_search(kept.begin(), kept.end(), i) ? static_cast<double>(scale_) * scale_ : 0;
}

double Sparse::expected_squared_error() const {
  return static_cast<double>(mask_.kept().size()) * static_cast<double>(scale_) * scale_;
}

void Sparse::privatise(std::span<float> sum, NoiseSource& source, const Position& position) const {
  check_size(sum.size(), size(), "sum");
  privatise_shard(sum, 0, source, position);
}

void Sparse::privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source,
                             const Position& position) const {
  check_shard(begin, part.size(), size());
  const std::uint64_t low = mask_.rank_of(begin);
  const std::uint64_t high = mask_.rank_of(begin + part.size());
  const Position from = later(position, low);
  source.claim(from, high - low);
  const auto kept = mask_.kept().subspan(low, high - low);
  const auto zero = [&](std::uint64_t first, std::uint64_t end) {
    std::fill(part.begin() + static_cast<std::ptrdiff_t>(first), part.begin() + static_cast<std::ptrdiff_t>(end), 0.0f);
  };
  // Each piece also clears the gap before each of its positions; the gap behind the last one is left over.
  with_draws(source, draw::Use::normal, from, kept.size(), [&](std::uint64_t j, std::span<const float> z) {
    for (std::size_t k = 0; k < z.size(); ++k) {
      const std::uint64_t at = kept[j + k] - begin;
      zero(j + k == 0 ? 0 : kept[j + k - 1] - begin + 1, at);
      part[at] = __builtin_fmaf(scale_, z[k], part[at]);
    }
  });
  zero(kept.empty() ? 0 : kept.back() - begin + 1, part.size());
}

}  // namespace dpflash::noise
