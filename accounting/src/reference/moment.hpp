// The cumulant of one step's privacy loss, from above: what Rényi accounting composes (docs/math/renyi.md).
#pragma once

#include <memory>

#include "loss/step.hpp"

namespace dpflash::accounting {

/// K(a) = ln E_Q[(P/Q)^(a+1)] = a D_(1+a)(P||Q) of one worst-case pair, at `excess` a = order - 1 > 0; rounded up.
/// Evaluations share tables, so an object serves one thread.
class StepMoment {
 public:
  virtual ~StepMoment() = default;
  virtual double log_moment(double excess) = 0;
};

/// The cumulant of `step` with P and Q as `direction` has them. +inf everywhere for an ApproximateStep with delta > 0.
std::unique_ptr<StepMoment> moment_of(const Step& step, Direction direction);

/// Sampled Gaussian pairs, sigma and rate in (0, 1): see mixture_moment.cpp.
std::unique_ptr<StepMoment> mixture_moment(const SampledGaussianStep& step, Direction direction);
std::unique_ptr<StepMoment> mixture_moment(const ReplaceSampledGaussianStep& step);

/// Sampled Laplace, rate in (0, 1): see laplace_moment.cpp.
std::unique_ptr<StepMoment> sampled_laplace_moment(const LaplaceStep& step, Direction direction);

/// ln(1 + rate (e^x - 1)) for x >= 0, any size.
double log_mixture(double rate, double x);

}  // namespace dpflash::accounting
