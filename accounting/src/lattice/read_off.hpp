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
  [[nodiscard]] std::size_t nodes() const { return sum_.size(); }
  /// Works out every node once, for a curve that is asked for at many places.
  void tabulate();
  /// The first node's loss.
  [[nodiscard]] double start() const { return start_; }

 private:
  [[nodiscard]] double loss(std::size_t i) const { return start_ + static_cast<double>(i) * spacing_; }

  // The curve at a node, rounded to the side; the exponential is only taken where it is asked for.
  [[nodiscard]] double at_node(std::size_t i) const { return values_.empty() ? worked_out(i) : values_[i]; }
  [[nodiscard]] double worked_out(std::size_t i) const;
  // First node behind the last one found above `delta`.
  [[nodiscard]] std::size_t first_at_most(double delta) const;
  // So deep in underflow that the lower side may not use it.
  [[nodiscard]] bool lost(std::size_t i) const;

  Side side_;
  double start_, spacing_, loss_error_, theta_;
  double log_scale_;
  double infinity_ = 0, round_ = 0;
  double outside_log_ = 0;  // ln of the mass that may lie outside the window, at loss 0
  double beyond_;           // the curve right of the window
  double slope_;            // e^{first node} times the Q-mass: minus the curve's slope left of the window
  RealVector values_;       // of tabulate()
  RealVector sum_;          // tilted divergence at each node, short of its exponential
};

/// The composed law as an untilted lattice law around its window's middle, `factor` times coarser, on the side asked:
/// mass right of the window (at most exp(log_untilted)) goes to +inf on the upper side. Empty when nothing is left.
TiltedLaw coarsen(const Composed& composed, std::size_t factor, double log_untilted, Side side);

}  // namespace dpflash::accounting
