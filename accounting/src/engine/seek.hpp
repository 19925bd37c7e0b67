// Finds where a monotone quantity crosses a target, asking for it as seldom as possible.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

namespace dpflash::accounting {

/// What to search: y = ln of the unknown. `excess(y)` = ln(quantity / target), <= 0 where y is safe; +-inf allowed.
struct Search {
  std::function<double(double)> excess;
  std::function<double(double)> snap;  // nearest allowed y (integers); must be monotone
  double start;
  double slope;      // first guess of d excess / dy; its sign says which way is safe
  double low, high;  // ends of the range of y
  double tolerance;  // of y
  int most = 80;     // evaluations
};

/// The y that `excess` was found <= 0 at and that is within `tolerance` of the crossing (by an unsafe neighbour, or by
/// the slope); the riskiest end of the range if that is safe. Empty if the safest end is unsafe.
std::optional<double> seek(const Search& search);

}  // namespace dpflash::accounting
