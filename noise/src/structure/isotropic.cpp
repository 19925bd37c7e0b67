#include "dpflash/noise/isotropic.hpp"

#include "draw/draws.hpp"
#include "structure/checks.hpp"
#include "structure/fused.hpp"
#include "structure/norms.hpp"

namespace dpflash::noise {

using namespace structure;

Isotropic::Isotropic(std::size_t dimension, double clip, const Calibration& calibration)
    : Isotropic(dimension, clip, calibration.noise_multiplier(), calibration) {}

Isotropic::Isotropic(std::size_t dimension, double clip, double noise_multiplier, const Calibration& calibration)
    : size_(dimension), clip_(clip), calibration_(check_family(calibration, Family::gaussian)), scale_(0) {
  check_dimension(dimension);
  check_clip(clip);
  scale_ = scale_of(multiply_up(noise_multiplier, clip));
}

void Isotropic::clip(std::span<float> contribution) const {
  check_size(contribution.size(), size_, "contribution");
  scale_down(contribution, l2_norm(contribution), clip_);
}

double Isotropic::mu() const { return divide_up(clip_, scale_); }

double Isotropic::variance() const { return static_cast<double>(scale_) * scale_; }

double Isotropic::expected_squared_error() const { return static_cast<double>(size_) * variance(); }

void Isotropic::privatise(std::span<float> sum, NoiseSource& source, const Position& position) const {
  check_size(sum.size(), size_, "sum");
  privatise_shard(sum, 0, source, position);
}

void Isotropic::privatise_shard(std::span<float> part, std::size_t begin, NoiseSource& source,
                                const Position& position) const {
  check_shard(begin, part.size(), size_);
  const Position from = later(position, begin);
  source.claim(from, part.size());
  with_draws(source, draw::Use::normal, from, part.size(),
             [&](std::uint64_t i, std::span<const float> z) { fused_add(scale_, z, part.data() + i); });
}

}  // namespace dpflash::noise
