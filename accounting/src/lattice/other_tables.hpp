// Bin tables of the steps other than the add/remove Gaussian ones.
#pragma once

#include "lattice/step_table.hpp"

namespace dpflash::accounting {

/// Atoms at the two ends of the loss and a density between, sampled or not; the lowest atom lies on a node.
StepTable laplace_table(const LaplaceStep& step, double spacing, std::size_t max_bins);

/// Two or three atoms and the parts of one law alone; the lowest atom lies on a node.
StepTable approximate_table(const ApproximateStep& step, double spacing, std::size_t max_bins);

/// The two sampled Gaussians of replace-one, sigma >= kReplaceSigmaMin.
inline constexpr double kReplaceSigmaMin = 0.06;
StepTable replace_table(const ReplaceSampledGaussianStep& step, double spacing, LossRange range, std::size_t max_bins);

}  // namespace dpflash::accounting
