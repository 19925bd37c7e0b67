// The noise of an attention output: from a sensitivity analysis and the accountant's calibration, and nothing else.
#pragma once

#include <cstdint>
#include <dpflash/attention/sensitivity.hpp>
#include <dpflash/noise/calibration.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dpflash::attention {

/// How the noise is shared out among rows and heads. All three have the same mu.
enum class Allocation {
  uniform,   ///< one sigma for every row and head: Delta / mu
  per_head,  ///< one sigma a head, of least total variance
  optimal    ///< one sigma for each row and head, of least total variance: rows that see few keys move more
};

/// "uniform", "per-head" or "optimal".
std::string_view name_of(Allocation allocation);

/// Standard deviations of Gaussian noise on every element of the output, with the mu they were verified to have. They
/// depend on public numbers only (mask, clips, unit), never on data.
///
/// One release of the output is a Gaussian mechanism: mu^2 = max over records of the sum over query heads h and rows i
/// of a_ih^2 / sigma_ih^2, a_ih being how far row i of head h can move. The accountant's noise multiplier z is a
/// Gaussian of sensitivity 1 and deviation z, hence mu = 1 / z for each release. Proof, and why the two neighbours
/// count as one record more or less: docs/math/attention-sensitivity.md, sections 5 and 7.
///
/// For the output of a kernel the analysis must hold its arithmetic: question().precision = kernel_precision(...).
class NoiseTable {
 public:
  /// The table of one release of `calibration`'s event. The verified mu() is at most 1 / noise_multiplier, in the
  /// arithmetic of doubles rounded towards more noise, for the floats that sigma() holds.
  ///
  /// `calibration`: family gaussian; adjacency add_or_remove_one, because the bounds of the analysis are the distance
  /// between the two neighbours' outputs, N(0, z^2) against N(1, z^2) (replace_one would double it once more, the
  /// one-sided adjacencies would promise half); Poisson sampling only with Unit::zero_out, where a record left out is
  /// the zero record itself. Sampling of other units has no bound here: use an event without sampling.
  ///
  /// `optimal` is the optimum where the rows that records move are nested (full and causal masks, blocks and sequences
  /// under them; any mask under Unit::sequence). Otherwise (sliding windows, self-token) it is a convex problem, solved
  /// to a duality gap of 1e-4 or as far as some 10^8 operations reach, and never worse than per_head. Sequences of
  /// several lengths share the table: row i of each has sigma of row i.
  ///
  /// Throws UnusableInput for another calibration, scales that are not normal floats, and `optimal` with more than 2^26
  /// entries, or rows and keys of distinct lengths. Cost: some 10 ms for 10^4 rows; up to a second where the problem is
  /// solved iteratively.
  NoiseTable(const Sensitivity& analysis, const noise::Calibration& calibration,
             Allocation allocation = Allocation::optimal);

  /// Noise as stated, with the mu it has: `sigma` one a query head, or [heads, rows] in that order. For what was fixed
  /// elsewhere, and for tests: nothing says that mu is enough. Throws UnusableInput unless every sigma is a positive
  /// normal float.
  static NoiseTable stated(const Sensitivity& analysis, std::span<const float> sigma);

  /// Whether sigma() has one number for each row of each head.
  [[nodiscard]] bool per_row() const noexcept { return per_row_; }
  [[nodiscard]] std::int32_t heads() const noexcept { return question_.shape.heads; }
  /// Queries of the longest sequence.
  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }
  /// [heads] or [heads, rows]; positive normal floats, rounded up. Rows that see no key are constants, whatever stands
  /// there.
  [[nodiscard]] std::span<const float> sigma() const noexcept { return sigma_; }
  /// mu of one release, verified for sigma(), rounded up.
  [[nodiscard]] double mu() const noexcept { return mu_; }
  /// Variance of the noise on one output column, added up over all query heads and over all rows, of all sequences,
  /// that see a key.
  [[nodiscard]] double total_variance() const noexcept { return total_variance_; }
  /// Total variance of `uniform` at the same mu() over this one; at least 1 up to the rounding of floats.
  [[nodiscard]] double saving() const noexcept { return saving_; }
  /// What the table is good for: another shape, mask, clips or unit needs another table.
  [[nodiscard]] const SensitivityQuestion& question() const noexcept { return question_; }
  /// Empty for stated noise.
  [[nodiscard]] const std::optional<noise::Calibration>& calibration() const noexcept { return calibration_; }
  /// All of the above as one line of JSON: mechanism, unit, block, allocation, score_bound, delta_total, mu,
  /// total_variance, saving, sigma {least, most}, calibration (its certificate, or null).
  [[nodiscard]] std::string certificate() const;

 private:
  NoiseTable(const Sensitivity& analysis, std::string_view allocation);
  /// mu, variance and saving of sigma_.
  void measure(const Sensitivity& analysis);
  /// Takes these deviations, rounded up to floats and scaled up until mu holds.
  void fit(const Sensitivity& analysis, std::vector<double> sigma, double mu);
  /// Takes them, scaled until mu is met, unless what there is has less variance.
  void fit_better(const Sensitivity& analysis, std::vector<double> sigma, double mu);

  SensitivityQuestion question_;
  std::string_view allocation_;
  double score_bound_;
  double delta_total_;
  std::int64_t rows_ = 0;
  bool per_row_ = false;
  std::vector<float> sigma_;
  double mu_ = 0;
  double total_variance_ = 0;
  double saving_ = 1;
  std::optional<noise::Calibration> calibration_;
};

}  // namespace dpflash::attention
