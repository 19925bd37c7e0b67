#include "grid/rounding.hpp"

#include "clipping/row_norm.hpp"

namespace dpflash::noise::grid {

Wide squared_norm(std::span<const float> contribution, const Rounding& rounding) {
  Wide sum = 0;
  for (const float x : contribution) {
    const std::int64_t k = rounded(x, rounding);
    const auto modulus = static_cast<std::uint64_t>(k < 0 ? -k : k);
    sum += static_cast<Wide>(modulus) * modulus;
  }
  return sum;
}

Rounding rounding_of(std::span<const float> contribution, double per_unit, std::int64_t integer_clip) {
  const Wide bound = static_cast<Wide>(integer_clip) * static_cast<Wide>(integer_clip);
  const double norm = row_squared_norm(contribution);
  Rounding rounding = dpflash::grid::first_rounding(norm, per_unit, integer_clip);
  for (int attempt = 0; rounding.factor != 0; ++attempt) {
    const Wide squared = squared_norm(contribution, rounding);
    if (squared <= bound) break;
    rounding = dpflash::grid::next_rounding(
        rounding, {static_cast<std::uint64_t>(squared >> 64), static_cast<std::uint64_t>(squared)}, integer_clip,
        attempt);
  }
  return rounding;
}

}  // namespace dpflash::noise::grid
