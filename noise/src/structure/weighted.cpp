#include "dpflash/noise/weighted.hpp"

#include <algorithm>

#include "draw/draws.hpp"
#include "structure/checks.hpp"
#include "structure/fused.hpp"
#include "structure/norms.hpp"

namespace dpflash::noise {

using namespace structure;

Weighted::Weighted(std::span<const float> weights, double clip, const Calibration& calibration)
    : weights_(weights.begin(), weights.end()), clip_(clip), calibration_(check_family(calibration, Family::gaussian)) {
  check_dimension(weights.size(), "weights.size");
  check_clip(clip);
  const double unit = multiply_up(calibration.noise_multiplier(), clip);
  scaled_.reserve(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!is_positive_normal(weights[i]))
      throw accounting::UnusableInput("weights[" + std::to_string(i) + "]", text(weights[i]),
                                      "a positive normal float (an entry without noise needs a Sparse mask)");
    const float scale = float_up(multiply_up(unit, weights[i]));
    if (!is_positive_normal(scale))
      throw accounting::UnusableInput("weights[" + std::to_string(i) + "]", text(weights[i]),
                                      "a weight whose noise scale is a normal float");
    scaled_.push_back(scale);
    mu_ = std::max(mu_, divide_up(multiply_up(clip, weights[i]), scale));
  }
  // mu_ has two roundings upwards; the scales themselves prove 1 / noise_multiplier.
  mu_ = std::min(mu_, divide_up(1, calibration.noise_multiplier()));
}

void Weighted::clip(std::span<float> contribution) const {
  check_size(contribution.size(), size(), "contribution");
  scale_down(contribution, weighted_norm(contribution, weights_), clip_);
}

double Weighted::variance(std::size_t i) const {
  if (i >= size()) throw accounting::UnusableInput("i", std::to_string(i), "an index below " + std::to_string(size()));
  return static_cast<double>(scaled_[i]) * scaled_[i];
}

double Weighted::expected_squared_error() const {
  double sum = 0;
  for (const float scale : scaled_) sum += static_cast<double>(scale) * scale;
  return sum;
}

void Weighted::privatise(std::span<float> sum, NoiseSource& source, const Position& position) const {
  check_size(sum.size(), size(), "sum");
  privatise_shard(sum, 0, source, position);
}

void Weighted::privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source,
                               const Position& position) const {
  check_shard(begin, part.size(), size());
  const Position from = later(position, begin);
  source.claim(from, part.size());
  with_draws(source, draw::Use::normal, from, part.size(), [&](std::uint64_t i, std::span<const float> z) {
    fused_add(scaled_.data() + begin + i, z, part.data() + i);
  });
}

}  // namespace dpflash::noise
