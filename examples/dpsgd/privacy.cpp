#include "privacy.hpp"

#include <vector>

namespace dpsgd {

namespace noise = dpflash::noise;

Privacy::Privacy(const Setup& setup, std::span<const Shape> shapes, const noise::Calibration& calibration)
    : setup_(setup), shapes_(shapes), calibration_(calibration) {
  for (const Shape& shape : shapes) size_ += static_cast<std::size_t>(shape.size());
  if (setup.clipping != ClippingKind::adaptive) return;
  noise::AdaptiveOptions options;
  options.first_norm = setup.clip;
  options.quantile = setup.quantile;
  adaptive_ = std::make_unique<noise::AdaptiveClipping>(options, setup.batch, calibration);
}

noise::PrivateGradient Privacy::rule() const {
  if (adaptive_) return {adaptive_->clipping(), adaptive_->mechanism(size_), setup_.batch};
  if (!per_layer()) {
    const auto clipping = setup_.clipping == ClippingKind::automatic ? noise::Clipping::automatic(setup_.clip)
                                                                     : noise::Clipping::flat(setup_.clip);
    return {clipping, noise::Isotropic(size_, setup_.clip, calibration_), setup_.batch};
  }
  const auto clipping = noise::Clipping::per_layer_equal(setup_.clip, static_cast<std::uint32_t>(shapes_.size()));
  std::vector<noise::Block> blocks;
  for (std::size_t t = 0; t < shapes_.size(); ++t)
    blocks.push_back({static_cast<std::size_t>(shapes_[t].size()), clipping.norms()[t]});
  return {clipping, noise::BlockDiagonal(blocks, noise::Allocation::least_error, calibration_), setup_.batch};
}

void Privacy::after(std::span<const float> factors, noise::NoiseSource& source, std::uint32_t step) {
  if (adaptive_) adaptive_->update(factors, source, {count_stream, step, 0});
}

}  // namespace dpsgd
