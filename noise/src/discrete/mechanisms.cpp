#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <string>

#include "discrete/samplers.hpp"

namespace dpflash::noise {

namespace {

using accounting::UnusableInput;

void check_shape(std::size_t dimension, std::int64_t sensitivity, const Calibration& calibration, Family family) {
  if (dimension > discrete::kMostOutputs) throw UnusableInput("dimension", std::to_string(dimension), "at most 2^40");
  if (sensitivity < 1) throw UnusableInput("sensitivity", std::to_string(sensitivity), "an integer of at least 1");
  if (calibration.family() != family)
    throw UnusableInput("calibration", std::string(name_of(calibration.family())),
                        "a calibration of family " + std::string(name_of(family)));
}

void check_part(std::size_t part, std::size_t begin, std::size_t size) {
  if (begin > size || part > size - begin)
    throw UnusableInput("part", std::to_string(begin) + " + " + std::to_string(part) + " elements",
                        "elements among the " + std::to_string(size) + " of the mechanism");
}

template <class Sampler>
void add_noise(std::span<std::int64_t> part, std::size_t begin, NoiseSource& source, const Position& position,
               const Sampler& sample) {
  if (position.first > discrete::kMostOutputs || begin + part.size() > discrete::kMostOutputs - position.first)
    throw UnusableInput("position.first", std::to_string(position.first), "first + elements at most 2^40");
  const std::uint64_t first = position.first + begin;
  source.claim({position.stream, position.step, first}, part.size());
  in_parallel(part.size(), 64, [&](std::uint64_t from, std::uint64_t to) {
    discrete::WordStream words(source, position.stream, position.step);
    for (std::uint64_t i = from; i < to; ++i) {
      words.start(first + i);
      std::int64_t& value = part[static_cast<std::size_t>(i)];
      value = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) + static_cast<std::uint64_t>(sample(words)));
    }
  });
}

double value_of(const Fraction& f) { return static_cast<double>(f.numerator) / static_cast<double>(f.denominator); }

}  // namespace

DiscreteGaussian::DiscreteGaussian(std::size_t dimension, std::int64_t sensitivity, const Calibration& calibration)
    : size_(dimension), sensitivity_(sensitivity), calibration_(calibration) {
  check_shape(dimension, sensitivity, calibration, Family::discrete_gaussian);
  sigma_squared_ =
      discrete::fraction_above(calibration.noise_multiplier(), sensitivity, 2, "noise_multiplier * sensitivity");
}

double DiscreteGaussian::variance() const { return discrete_gaussian_variance(std::sqrt(value_of(sigma_squared_))); }

void DiscreteGaussian::privatise(std::span<std::int64_t> values, NoiseSource& source, const Position& position) const {
  if (values.size() != size_)
    throw UnusableInput("values", std::to_string(values.size()) + " elements", std::to_string(size_) + " elements");
  privatise_shard(values, 0, source, position);
}

void DiscreteGaussian::privatise_shard(std::span<std::int64_t> part, std::size_t begin, NoiseSource& source,
                                       const Position& position) const {
  check_part(part.size(), begin, size_);
  add_noise(part, begin, source, position,
            [this](discrete::WordStream& words) { return discrete::gaussian(words, sigma_squared_); });
}

DiscreteLaplace::DiscreteLaplace(std::size_t dimension, std::int64_t sensitivity, const Calibration& calibration)
    : size_(dimension), sensitivity_(sensitivity), calibration_(calibration) {
  check_shape(dimension, sensitivity, calibration, Family::discrete_laplace);
  scale_ = discrete::fraction_above(calibration.noise_multiplier(), sensitivity, 1, "noise_multiplier * sensitivity");
}

double DiscreteLaplace::variance() const { return discrete_laplace_variance(value_of(scale_)); }

void DiscreteLaplace::privatise(std::span<std::int64_t> values, NoiseSource& source, const Position& position) const {
  if (values.size() != size_)
    throw UnusableInput("values", std::to_string(values.size()) + " elements", std::to_string(size_) + " elements");
  privatise_shard(values, 0, source, position);
}

void DiscreteLaplace::privatise_shard(std::span<std::int64_t> part, std::size_t begin, NoiseSource& source,
                                      const Position& position) const {
  check_part(part.size(), begin, size_);
  add_noise(part, begin, source, position,
            [this](discrete::WordStream& words) { return discrete::laplace(words, scale_); });
}

}  // namespace dpflash::noise
