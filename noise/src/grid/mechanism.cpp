#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <string>
#include <type_traits>

#include "dpflash/noise/grid.hpp"
#include "draw/draws.hpp"
#include "grid/rounding.hpp"

namespace dpflash::noise {

namespace {

using accounting::UnusableInput;

constexpr std::int64_t kMostIntegerClip = std::int64_t{1} << 40;
constexpr std::uint64_t kMostElements = std::uint64_t{1} << 40;

void require_size(std::size_t got, std::size_t size, const char* field) {
  if (got != size) throw UnusableInput(field, std::to_string(got) + " elements", std::to_string(size) + " elements");
}

/// floor(2^bits / sigma): the quotient of doubles is off by one at most, and the sign of the exact remainder corrects
/// it.
std::int64_t integer_clip_of(double sigma, int bits) {
  const double whole = std::ldexp(1.0, bits);
  double c = std::floor(whole / sigma);
  while (std::fma(c, sigma, -whole) > 0) c -= 1;
  return static_cast<std::int64_t>(c);
}

/// a + b modulo a power of two.
template <class Integer>
Integer wrapped_sum(Integer a, std::int64_t b) {
  using Unsigned = std::make_unsigned_t<Integer>;
  return static_cast<Integer>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
}

template <class Integer>
void add_contribution(const GridMechanism& mechanism, std::span<const float> contribution, std::span<Integer> sum) {
  require_size(contribution.size(), mechanism.size(), "contribution");
  require_size(sum.size(), mechanism.size(), "sum");
  const grid::Rounding rounding = grid::rounding_of(contribution, 1 / mechanism.spacing(), mechanism.integer_clip());
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = wrapped_sum(sum[i], grid::rounded(contribution[i], rounding));
}

template <class Integer>
void add_noise(const GridMechanism& mechanism, std::span<Integer> part, std::size_t begin, NoiseSource& source,
               const Position& position) {
  if (begin > mechanism.size() || part.size() > mechanism.size() - begin)
    throw UnusableInput("part", std::to_string(begin) + " + " + std::to_string(part.size()) + " elements",
                        "elements among the " + std::to_string(mechanism.size()) + " of the mechanism");
  if (position.first > ~std::uint64_t{0} - begin)
    throw UnusableInput("position.first", std::to_string(position.first), "first + count at most 2^56");
  const Position at{position.stream, position.step, position.first + begin};
  source.claim(at, part.size());
  with_grid_draws(source, mechanism.bits(), at, part.size(), [&](std::uint64_t i, std::span<const std::int64_t> z) {
    for (std::size_t j = 0; j < z.size(); ++j) {
      Integer& value = part[static_cast<std::size_t>(i) + j];
      value = wrapped_sum(value, z[j]);
    }
  });
}

template <class Integer>
void scale_sum(const GridMechanism& mechanism, std::span<const Integer> sum, std::span<float> out, double factor) {
  require_size(sum.size(), mechanism.size(), "sum");
  require_size(out.size(), mechanism.size(), "out");
  if (!std::isfinite(factor)) throw UnusableInput("factor", std::to_string(factor), "a finite number");
  const double unit = mechanism.spacing() * factor;
  for (std::size_t i = 0; i < sum.size(); ++i) out[i] = static_cast<float>(static_cast<double>(sum[i]) * unit);
}

}  // namespace

GridMechanism::GridMechanism(std::size_t dimension, double clip, const Calibration& calibration, int bits)
    : size_(dimension), clip_(clip), calibration_(calibration), bits_(bits) {
  if (dimension > kMostElements) throw UnusableInput("dimension", std::to_string(dimension), "at most 2^40");
  if (!(clip >= 1e-30 && clip <= 1e30)) throw UnusableInput("clip", std::to_string(clip), "a number in [1e-30, 1e30]");
  if (calibration.family() != Family::gaussian)
    throw UnusableInput("calibration", std::string(name_of(calibration.family())), "a calibration of family gaussian");
  if (bits < 8 || bits > 16) throw UnusableInput("bits", std::to_string(bits), "an integer in [8, 16]");
  const double sigma = calibration.noise_multiplier();
  if (!(sigma >= std::ldexp(1.0, bits) / static_cast<double>(kMostIntegerClip) && sigma <= std::ldexp(1.0, bits)))
    throw UnusableInput("noise_multiplier", std::to_string(sigma), "a number in [2^(bits-40), 2^bits]");
  spacing_ = std::ldexp(sigma * clip, -bits);
  integer_clip_ = integer_clip_of(sigma, bits);
}

double GridMechanism::mu() const { return std::ldexp(static_cast<double>(integer_clip_), -bits_); }

double GridMechanism::variance() const { return spacing_ * spacing_ * (std::ldexp(1.0, 2 * bits_) + 1.0 / 12); }

double GridMechanism::expected_squared_error() const { return static_cast<double>(size_) * variance(); }

void GridMechanism::to_grid(std::span<const float> contribution, std::span<std::int64_t> out) const {
  require_size(out.size(), size_, "out");
  require_size(contribution.size(), size_, "contribution");
  std::fill(out.begin(), out.end(), 0);
  add(contribution, out);
}

void GridMechanism::add(std::span<const float> contribution, std::span<std::int64_t> sum) const {
  add_contribution(*this, contribution, sum);
}

void GridMechanism::add(std::span<const float> contribution, std::span<std::int32_t> sum) const {
  add_contribution(*this, contribution, sum);
}

void GridMechanism::privatise(std::span<std::int64_t> sum, NoiseSource& source, const Position& position) const {
  require_size(sum.size(), size_, "sum");
  add_noise(*this, sum, 0, source, position);
}

void GridMechanism::privatise(std::span<std::int32_t> sum, NoiseSource& source, const Position& position) const {
  require_size(sum.size(), size_, "sum");
  add_noise(*this, sum, 0, source, position);
}

void GridMechanism::privatise_shard(std::span<std::int64_t> part, std::size_t begin, NoiseSource& source,
                                    const Position& position) const {
  add_noise(*this, part, begin, source, position);
}

void GridMechanism::privatise_shard(std::span<std::int32_t> part, std::size_t begin, NoiseSource& source,
                                    const Position& position) const {
  add_noise(*this, part, begin, source, position);
}

void GridMechanism::release(std::span<const std::int64_t> sum, std::span<float> out, double factor) const {
  scale_sum(*this, sum, out, factor);
}

void GridMechanism::release(std::span<const std::int32_t> sum, std::span<float> out, double factor) const {
  scale_sum(*this, sum, out, factor);
}

GridCharge GridMechanism::charge(double releases) const {
  return grid_charge(static_cast<double>(size_), releases, bits_);
}

Guarantee GridMechanism::guarantee() const {
  const accounting::Event& event = calibration_.plan().events.at(calibration_.event());
  return with_charge(calibration_.epsilon().upper, calibration_.delta(), charge(static_cast<double>(event.count)));
}

}  // namespace dpflash::noise
