// Epsilon and delta of a composed lattice law, rounded to its side.
#pragma once

#include "lattice/tilted_law.hpp"

namespace dpflash::accounting {

/// The hockey-stick curve of a composed law at every node of its window, kept on one side of the truth.
class ComposedCurve {
 public:
  ComposedCurve(const Composed& composed, Side side);

  /// Smallest epsilon >= 0 at which the curve is at most `delta`, rounded to the side; +inf (upper) when it never is.
  [[nodiscard]] double epsilon(double delta) const;
  /// The curve at `epsilon`. Left of the window, where no atom lies, it is linear in e^epsilon; right of it constant.
  [[nodiscard]] double delta(double epsilon) const;
  [[nodiscard]] std::size_t nodes() const { return at_node_.size(); }

 private:
  // Between nodes the curve is linear in e^epsilon.
  [[nodiscard]] double loss(std::size_t i) const { return start_ + static_cast<double>(i) * spacing_; }

  Side side_;
  double start_, spacing_, loss_error_, theta_;
  double outside_log_ = 0;  // ln of the mass that may lie outside the window, at loss 0
  double beyond_;           // the curve right of the window
  double slope_;            // e^{first node} times the Q-mass: minus the curve's slope left of the window
  std::vector<double> at_node_;
};

/// The composed law as an untilted lattice law around its window's middle, `factor` times coarser, on the side asked:
/// mass right of the window (at most exp(log_untilted)) goes to +inf on the upper side. Empty when nothing is left.
TiltedLaw coarsen(const Composed& composed, std::size_t factor, double log_untilted, Side side);

}  // namespace dpflash::accounting
