// A quick, uncertified picture of a composition: where the answer lies, how to tilt, how fine a lattice it needs.
// Nothing here enters a bound.
#pragma once

#include <limits>
#include <vector>

#include "loss/step.hpp"

namespace dpflash::accounting {

/// Quadrature nodes of one step's loss under P, in one direction.
struct PilotStep {
  double count = 0;
  double lowest = 0;  ///< losses are lowest + offset
  std::vector<double> offset, weight;
  std::vector<double> roughness;  ///< 1 where the law has a density, 0 at an atom that will lie on a node
  double infinity = 0;
  bool anchored = false;   ///< the end offset = 0 is a singular end, where a node will lie
  bool end_above = false;  ///< that end is the largest loss, not the smallest
};

struct Cumulants {
  double value, slope, curvature;
};

class Pilot {
 public:
  /// `tail`: P-mass per step beyond which the loss may be ignored. Losses of one step above `cut` are left out.
  Pilot(const Composition& composition, Direction direction, double tail,
        double cut = std::numeric_limits<double>::infinity());

  /// Sets theta so that the saddle point of the inversion integral answers the question.
  void aim_at_delta(double delta);
  void aim_at_epsilon(double epsilon);
  /// Sets theta itself.
  void tilt_by(double theta) { settle(theta); }

  [[nodiscard]] double theta() const { return theta_; }
  [[nodiscard]] double epsilon() const { return epsilon_; }
  [[nodiscard]] double log_delta() const { return log_delta_; }
  /// Of the composed loss under the tilt.
  [[nodiscard]] double mean() const { return mean_; }
  [[nodiscard]] double deviation() const { return deviation_; }
  [[nodiscard]] double infinity() const { return infinity_; }

  /// Smallest central half-mass interval of a phase's single tilted step.
  [[nodiscard]] double core() const;
  /// Spacing, at most 20, of a lattice of which this width in epsilon may be expected.
  [[nodiscard]] double spacing_for(double width) const;
  /// Losses of phase i between which all but `tail` of the tilted P-mass lies.
  void tilted_range(std::size_t phase, double tail, double& low, double& high) const;

 private:
  // Tilted weight of what a lattice smears: at distance y of an anchored end, and far from any.
  struct Roughness {
    std::vector<double> y, weight;
    double plain = 0;
  };

  [[nodiscard]] Cumulants cumulants(double theta) const;
  [[nodiscard]] Roughness roughness() const;
  [[nodiscard]] double width_at(const Roughness& rough, double spacing) const;
  void settle(double theta);
  template <class TooSmall, class Met>
  void search(const TooSmall& too_small, const Met& met);

  std::vector<PilotStep> steps_;
  double theta_ = 1, epsilon_ = 0, log_delta_ = 0, mean_ = 0, deviation_ = 1, infinity_ = 0;
};

/// Smallest z with standard normal upper tail below `mass`; 0 for mass >= 1/2, at most 38.
double normal_tail_point(double mass);

}  // namespace dpflash::accounting
