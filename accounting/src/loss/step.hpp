// What one step releases, seen by the engines: a worst-case pair (P, Q) of output laws, with adjacency already
// resolved.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <variant>
#include <vector>

namespace dpflash::accounting {

/// Which of the two data sets is P: in `remove` P holds the record, in `add` Q does.
enum class Direction { remove, add };

/// N(mu, 1) against N(0, 1); all unsampled Gaussian releases of a plan are folded into one. Symmetric.
struct GaussianStep {
  double mu;
};

/// (1-q) N(0, sigma^2) + q N(1, sigma^2) against N(0, sigma^2); rate q in (0, 1).
struct SampledGaussianStep {
  double sigma;
  double rate;
};

/// (1-q) N(0, sigma^2) + q N(1, sigma^2) against (1-q) N(0, sigma^2) + q N(-1, sigma^2); symmetric; rate q in (0, 1).
struct ReplaceSampledGaussianStep {
  double sigma;
  double rate;
};

/// (1-q) Lap(0, b) + q Lap(1, b) against Lap(0, b), b = scale; rate q in (0, 1]; symmetric when q = 1.
struct LaplaceStep {
  double scale;
  double rate;
};

/// The worst (epsilon, delta) mechanism, sampled at rate q in (0, 1]: P = (1-q) Q + q P0 against Q, where P0, Q have
/// losses +-epsilon with total mass 1 - delta and disjoint parts of mass delta; symmetric when q = 1.
struct ApproximateStep {
  double epsilon;
  double delta;
  double rate;
};

using Step = std::variant<GaussianStep, SampledGaussianStep, ReplaceSampledGaussianStep, LaplaceStep, ApproximateStep>;

/// `count` equal steps; 1 for a GaussianStep, whose mu already holds them.
struct Phase {
  Step step;
  std::int64_t count;
};

/// Adaptive composition of phases, equal steps merged.
struct Composition {
  std::vector<Phase> phases;
  /// True when P and Q may be exchanged in every phase, so that both directions have one answer.
  bool symmetric = true;
};

/// A certified interval of epsilon or delta for one direction.
struct Interval {
  double lower;
  double upper;
};

/// What two certified intervals say together: their intersection. Disjoint ones disprove one of the proofs; their hull
/// then is all that may be said.
inline Interval meet(const Interval& a, const Interval& b) {
  const Interval common{std::max(a.lower, b.lower), std::min(a.upper, b.upper)};
  if (common.lower <= common.upper) return common;
  return {std::min(a.lower, b.lower), std::max(a.upper, b.upper)};
}

/// A law or transform would be longer than allowed; `factor`: how many times.
struct TooLong : std::length_error {
  explicit TooLong(double times) : std::length_error("lattice too long"), factor(times) {}
  double factor;
};

}  // namespace dpflash::accounting
