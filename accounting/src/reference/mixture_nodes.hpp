// Trapezoid nodes of a sampled Gaussian pair, tabulated once for many orders (docs/math/renyi.md, sections 3-4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dpflash::accounting {

/// P = phi (1+v+)^plus, loss L = plus l+ - minus l-; sigma > 0, rate in (0, 1), plus or minus set.
struct MixturePair {
  double sigma;
  double rate;
  bool plus;
  bool minus;
};

/// Sum over the nodes of P [h(a L) + a h(-L)].
struct NodeSum {
  double value;
  double rounding;  // bound of the sum's error, in units roundoff
  double last;      // the right-most node's term
};

/// Natural logarithms of the same for the plain integrand P e^(a L).
struct LogNodeSum {
  double value;
  double rounding;  // bound of the relative error, in units roundoff
  double last;
};

class MixtureNodes {
 public:
  explicit MixtureNodes(const MixturePair& pair) : pair_(pair) {}

  /// Lays nodes `step` apart from where P [..] is negligible on the left to where it is on the right, `reach` standard
  /// deviations out, for every excess up to `excess`. Where that is too many, stretches proved negligible at exactly
  /// `excess` are left out (has_gaps).
  void build(double step, double reach, double excess);

  [[nodiscard]] NodeSum sum(double excess) const;
  [[nodiscard]] LogNodeSum log_sum(double excess) const;

  [[nodiscard]] double step() const { return step_; }
  [[nodiscard]] double first() const { return first_; }
  [[nodiscard]] bool has_gaps() const { return gaps_; }
  /// ln of the most that the gaps hold; valid for the excess built for.
  [[nodiscard]] double log_gaps() const { return log_gaps_; }
  /// Beyond the last node s_R, terms fall at least by e^-(decay step) a node; <= 0 when this is not proved.
  [[nodiscard]] double decay(double excess) const;

 private:
  [[nodiscard]] double level(double s) const;  // ln(1 + v+) at s
  [[nodiscard]] double share(double s) const;  // q lambda / (1 + v) at s: sigma times the slope of level
  [[nodiscard]] double log_term(double s, double excess) const;
  [[nodiscard]] double log_bound(double from, double to, double excess) const;
  void select(std::int64_t from, std::int64_t to, double excess, double floor);
  void append(std::int64_t from, std::int64_t to);
  void fill(double index);

  MixturePair pair_;
  double step_ = 0, first_ = 0, last_ = 0, log_step_ = 0;
  bool gaps_ = false;
  double log_gaps_ = 0;
  std::size_t last_index_ = 0;
  // Per node: ln P step, P step, L, P h(-L) step, and the node's error bound as fixed + order * per_order, in u.
  std::vector<double> log_weight_, weight_, loss_, reverse_, fixed_, per_order_;
};

}  // namespace dpflash::accounting
