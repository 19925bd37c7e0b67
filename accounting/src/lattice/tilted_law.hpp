// Lattice laws tilted towards the answer, and their composition by Fourier transform with charged round-off.
#pragma once

#include <cstdint>
#include <vector>

#include "fft/fft.hpp"
#include "lattice/bin_table.hpp"

namespace dpflash::accounting {

/// Which side of the truth a law is kept on: every rounding goes that way.
enum class Side { upper, lower };

/// The measure mass[i] * exp(log_scale - theta * loss_i) at loss_i = start + i * spacing, with sum(mass) = 1 up to
/// rounding, and `infinity` untilted at +inf. `log_scale_error` bounds the absolute error of log_scale, `loss_error`
/// that of every loss.
struct TiltedLaw {
  double start = 0;
  double spacing = 0;
  double theta = 0;
  double log_scale = 0;
  double log_scale_error = 0;
  double loss_error = 0;
  double infinity = 0;
  double missing = 0;  ///< tilted mass that the law may lack (left of a window it was composed in)
  RealVector mass;
};

/// Tilts `law` by theta >= 0 and normalises; each mass is rounded to `side`. An empty or null law gives an empty one.
TiltedLaw tilt(const LatticeLaw& law, double theta, double loss_error, Side side);

/// Upper bound of the moment generating function of masses at 0, 1, 2, ...: they are gathered on the ends of cells that
/// widen with the distance from the mean, each split with its mean kept, so that the expectation of a convex function
/// can only grow.
class MomentBound {
 public:
  explicit MomentBound(const RealVector& mass);

  /// ln of sum mass_i e^{s i}, rounded up.
  [[nodiscard]] double log_at(double s) const;
  [[nodiscard]] double mean() const { return mean_; }
  [[nodiscard]] double variance() const { return variance_; }

 private:
  double mean_ = 0, variance_ = 0, rounding_ = 0, first_ = 0, last_ = 0;
  std::vector<double> place_, mass_;
};

/// `count` independent copies of `law`.
struct Power {
  const TiltedLaw* law;
  std::int64_t count;
};

/// Chernoff window of a product: the tilted mass at or above high, and that below low, is at most exp(log_tail) each;
/// counted in lattice steps from the sum of the starts.
struct Window {
  std::int64_t low;
  std::int64_t high;
  double log_tail;
};

/// When log_untilted <= 0 the untilted mass above `high` is at most exp(log_untilted) as well.
Window chernoff_window(const std::vector<Power>& powers, double log_tail, double log_untilted = 1);

/// The product of `powers` inside the window. Its masses are each within `mass_error` of the exact ones, which are
/// those of the product with everything outside the window folded in (at most 2 exp(log_tail) in all). Infinite parts
/// are joined.
struct Composed {
  TiltedLaw law;
  double mass_error = 0;
  double outside = 0;
};
Composed compose(const std::vector<Power>& powers, const Window& window);

}  // namespace dpflash::accounting
