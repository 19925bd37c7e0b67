// The composed tilted characteristic function on a frequency grid, and the two-sided bound of delta that it gives
// (docs/math/inversion.md, sections 2 and 6).
#pragma once

#include <optional>
#include <vector>

#include "inversion/model.hpp"

namespace dpflash::accounting::inversion {

/// Immutable once built: ln delta(epsilon) from above, from below and between, for every real epsilon.
class Spectrum {
 public:
  /// `tolerance` is the relative width of delta wanted near the pilot's epsilon; empty when more than `work_limit`
  /// evaluations of a sine and cosine would be needed, or a bound diverges.
  static std::optional<Spectrum> build(const Model& model, const Pilot& pilot, double tolerance, double work_limit);

  double theta() const { return theta_; }

  /// Upper bound of ln delta; NaN if the arguments leave the range of the sine.
  double log_upper(double epsilon) const;
  /// Lower bound of ln delta; -infinity if the errors exceed the value.
  double log_lower(double epsilon) const;
  /// Estimate between them.
  double log_estimate(double epsilon) const;

 private:
  struct Sum {
    double value;
    double error;
  };
  Sum transform(double epsilon) const;
  double log_bound(double epsilon, double mass, double side) const;

  double theta_ = 0;
  double cumulant_ = 0, cumulant_error_ = 0;          // K(theta)
  double step_ = 0, period_ = 0;                      // frequency spacing, its period rounded down
  double mean_ = 0, mean_error_ = 0;                  // centre of the composed loss
  double right_order_ = 0, right_cumulant_ = 0;       // s and an upper bound of K(theta + s) for the alias from above
  std::vector<double> frequency_, real_, imaginary_;  // coefficients with (step / pi), 1/(z(z+1)) and j = 0 halved
  double magnitude_ = 0;                              // sum of |coefficients|
  double first_moment_ = 0;                           // sum of |coefficients| frequency
  double error_ = 0;                                  // truncation, quadrature and round-off of the coefficients

  friend class SpectrumBuilder;
};

/// Rigorous K(theta) of the whole model, upper end: value + error.
struct TotalCumulant {
  double value;
  double error;
};
std::optional<TotalCumulant> total_cumulant(const Model& model, double theta, double fineness, double z);

}  // namespace dpflash::accounting::inversion
