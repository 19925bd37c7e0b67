// Strong types for the quantities of differential privacy: swapping epsilon and delta does not compile.
#pragma once

#include <limits>

namespace dpflash::accounting {

/// A privacy loss level in (-inf, +inf); negative values are allowed where a delta is asked at them.
class Epsilon {
 public:
  /// Throws UnusableInput when `value` is NaN.
  explicit Epsilon(double value);
  [[nodiscard]] double value() const noexcept { return value_; }

 private:
  double value_;
};

/// A failure probability in (0, 1).
class Delta {
 public:
  /// Throws UnusableInput when `value` is not in (0, 1); NaN included.
  explicit Delta(double value);
  [[nodiscard]] double value() const noexcept { return value_; }

 private:
  double value_;
};

/// Standard deviation of the noise divided by one record's clipping norm; in (0, +inf).
class NoiseMultiplier {
 public:
  /// Throws UnusableInput when `value` is not finite and positive.
  explicit NoiseMultiplier(double value);
  [[nodiscard]] double value() const noexcept { return value_; }

 private:
  double value_;
};

/// Probability with which a record takes part in one step; in (0, 1].
class SamplingRate {
 public:
  /// Throws UnusableInput when `value` is not in (0, 1].
  explicit SamplingRate(double value);
  [[nodiscard]] double value() const noexcept { return value_; }

 private:
  double value_;
};

/// Width asked of a bracket, (upper - lower) / upper; in [1e-12, 1].
class RelativeWidth {
 public:
  /// Throws UnusableInput when `value` is not in [1e-12, 1].
  explicit RelativeWidth(double value);
  [[nodiscard]] double value() const noexcept { return value_; }

 private:
  double value_;
};

/// A certified interval: lower <= truth <= upper. `upper` is the end to publish; +inf means unbounded.
struct Bracket {
  double lower = 0;
  double estimate = std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();
};

}  // namespace dpflash::accounting
