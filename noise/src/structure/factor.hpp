// Cholesky factors of public covariances, with certified norms of what they and their inverses do.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace dpflash::noise::structure {

struct Factor {
  std::vector<double> lower;  ///< row-major
  double norm = 0;            ///< |L|_F, rounded up
  double inverse_norm = 0;    ///< |L^-1|_F, a certified upper bound
};

/// Factor of a symmetric positive definite size x size matrix. Throws UnusableInput naming `field`, also when the
/// certified condition |L|_F |L^-1|_F exceeds `most_condition`.
Factor factor(std::span<const double> covariance, std::size_t size, const std::string& field, double most_condition);

}  // namespace dpflash::noise::structure
