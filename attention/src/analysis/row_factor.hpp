// How far one row moves over C_v, for each unit: the formulas, rounded up.
#pragma once

#include <cstdint>
#include <dpflash/attention/sensitivity.hpp>

namespace dpflash::attention::analysis {

/// One row's view of the record that changes.
struct Moved {
  std::int64_t visible;  ///< keys the row sees, at least 1
  std::int64_t changed;  ///< how many of them change, in [1, visible]
  bool own = false;      ///< the row's query changes too
};

/// |scale| C_q C_k of a kv head, or what the softcap leaves of it, rounded up; +inf when it overflows.
double score_bound_up(const Shape& shape, const Clips& clips, std::int32_t kv_head) noexcept;

/// The formulas for one score bound. Cheap to copy; O(1) a row.
class RowFactor {
 public:
  /// `score_bound` in [0, +inf]; the charges of `precision` are added here.
  RowFactor(Unit unit, double score_bound, const FinitePrecision& precision) noexcept;

  /// Upper bound of |O - O'| / C_v without eta, in [0, 2 (1 + u_p) (1 + 2^-23)]; exceeds the formula by less than 64
  /// units of 2^-53.
  [[nodiscard]] double operator()(const Moved& moved) const noexcept;
  /// 2 eta / C_v: what every moved row may move besides.
  [[nodiscard]] double slack() const noexcept { return slack_; }

 private:
  [[nodiscard]] double replaced(std::int64_t n, std::int64_t m) const noexcept;
  [[nodiscard]] double zeroed(std::int64_t n) const noexcept;
  [[nodiscard]] double own_row(std::int64_t n) const noexcept;

  Unit unit_;
  double growth_;  ///< of C_v
  double slack_;
  double own_spread_;  ///< 0 in exact arithmetic
  double root_;        ///< e^(-B/2)
  double reciprocal_;  ///< e^(-B)
  double square_;      ///< e^(-2B)
  double one_minus4_;  ///< 1 - e^(-4B)
};

}  // namespace dpflash::attention::analysis
