// How far one record can move the output of clipped softmax attention, from public numbers alone.
#pragma once

#include <cstdint>
#include <dpflash/attention/shape.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dpflash::attention {

/// What two neighbouring inputs differ in. C_v is the clip of the values, n the keys that a row sees,
/// w(n) = 1 / (1 + (n - 1) e^(-2B)), B the largest absolute score. Rows that do not see the key do not move.
enum class Unit {
  token,            ///< one (k, v) pair, or one block of consecutive pairs, replaced: a row moves by 2 C_v w(n)
  zero_out,         ///< one (k, v) pair replaced by zeros that stay in the softmax: C_v z(n), about half of token
  self_token,       ///< q, k and v of one position replaced: own row 2 C_v T(n), the others as token
  sequence,         ///< all of one sequence replaced: 2 C_v
  token_add_remove  ///< one slot masked out, lengths being those with it: as token, but C_v where n = 1. All other
                    ///< slots are in use: where how many are is private too, only zero_out has a bound
};

/// "token", "zero-out", "self-token", "sequence" or "token-add-remove".
std::string_view name_of(Unit unit);
/// The unit called `name`. Throws UnusableInput naming `field` and the names there are.
Unit parse_unit(std::string_view name, const std::string& field = "unit");

/// What a kernel's arithmetic adds to the bounds of exact arithmetic (docs/math/attention-sensitivity.md, section 6).
/// Zeros: none. A row then moves by at most a' + 2 eta, where a' has C_v (1 + u_p) (1 + 2^-23) for C_v and B + eps_s
/// for B (B + 2 eps_s under Unit::zero_out); eta = eta_over_cv C_v is the part of the error that depends on the whole
/// row. Under Unit::self_token the own row's factor 2 T becomes 2 T + own_spread (1 - T): another query rounds the
/// weights of all keys anew.
struct FinitePrecision {
  double u_p = 0;          ///< relative error of a rounded probability times its clip factor; in [0, 0.25]
  double eps_s = 0;        ///< absolute error of a score; in [0, 1000]
  double eta_over_cv = 0;  ///< absolute error of an output row over C_v; in [0, 1000]
  /// Largest difference between the relative errors that a rounded probability times clip factor can have under two
  /// queries, over 1 + u_p; in [0, 1]. 1 is always right; 0 only where these products are not rounded.
  double own_spread = 1;
};

/// What the kernels of this library compute in.
enum class KernelElement { bf16, fp16 };

/// The question: an attention call and a unit of privacy.
struct SensitivityQuestion {
  Shape shape;
  Clips clips;
  Unit unit = Unit::token;
  std::int64_t block = 1;  ///< consecutive (k, v) pairs of one record, with Unit::token; in [1, 2^28]
  FinitePrecision precision = {};
};

/// The constants of this library's kernels (fixed reference, fp32 sums, no flush) for the question's D, clips, softcap
/// and largest number of visible keys. Assumed of the hardware, see the page above: a tensor-core step of 16 addends
/// errs by at most 10 2^-23 of the sum of their moduli, exp2 by 2^-22. Throws UnusableInput where the kernels have no
/// exact range: scores beyond 70 (bf16) or 9.7 (fp16), or sums that may leave fp32.
FinitePrecision kernel_precision(KernelElement element, const SensitivityQuestion& question);

/// Whether the question's own charges are at least those of the kernels, each of them. False as well where the kernels
/// have no exact range.
bool covers_kernel(KernelElement element, const SensitivityQuestion& question);

/// Where a record is: keys position .. position + block - 1 of a sequence. -1 under Unit::sequence.
struct RecordPlace {
  std::int64_t sequence = 0;
  std::int64_t position = 0;
};

/// Rows that see between `least` and `most` keys, and their share of the squared sensitivity.
struct VisibleShare {
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::int64_t rows = 0;
  double share = 0;
};

/// What the worst record's sensitivity is made of. Nearest rounding: these are explanations, not bounds.
struct Contributions {
  double score_clips = 0;                ///< d ln Delta / d ln C_q, the same for C_k and scale; with C_v it is 1
  std::vector<double> head_share;        ///< of Delta^2, one a query head; adds up to 1
  std::vector<VisibleShare> by_visible;  ///< by powers of two of the visible keys, all heads; shares add up to 1
};

/// The bounds. Every number that bounds something is rounded up: it exceeds the real formula by less than 1e-12 of
/// itself. Proofs, and inputs that attain the bounds: docs/math/attention-sensitivity.md.
class Sensitivity {
 public:
  /// Throws UnusableInput naming the field: what shape.hpp and the members above do not allow; a block with a unit
  /// other than token; self-token with more queries than keys (a query without a key has no position); blocks under a
  /// left window with more than 2^29 (row, overlap) pairs; more than 2^30 rows and keys of distinct sequences, times
  /// distinct score bounds. Cost: O(queries + keys) for each distinct sequence and each distinct score bound, 10^6 rows
  /// in some 0.2 s; blocks under a left window O(queries block + keys).
  explicit Sensitivity(SensitivityQuestion question);

  [[nodiscard]] const SensitivityQuestion& question() const noexcept { return question_; }
  /// Largest absolute score of exact arithmetic, softcap included: the largest of all kv heads, or that of one.
  [[nodiscard]] double score_bound() const noexcept;
  [[nodiscard]] double score_bound(std::int32_t kv_head) const;
  /// The record that moves the whole output most; of equals the first. {0, -1} when no row sees a key.
  [[nodiscard]] RecordPlace worst() const noexcept { return worst_; }
  /// Rows that it moves.
  [[nodiscard]] std::int64_t rows_moved() const noexcept { return rows_moved_; }
  /// Delta_h of each query head, each at its own worst record: L2 norm over all rows.
  [[nodiscard]] std::span<const double> per_head() const noexcept { return per_head_; }
  /// Delta over all rows and heads, at worst().
  [[nodiscard]] double total() const noexcept { return total_; }

  /// How far one row can move when its sequence's worst() record changes, over C_v and without eta: exact arithmetic's
  /// 2 w(n) and its like; 0 for a row that does not see the record. Throws UnusableInput for a row that is not there.
  [[nodiscard]] double row_factor(std::int32_t kv_head, std::int64_t row) const;

  /// mu of one release with noise sigma[h] on every element of query head h: the largest over all records of the square
  /// root of the sum of Delta_h^2 / sigma_h^2. Throws UnusableInput unless there is a finite sigma > 0 for each head.
  [[nodiscard]] double mu(std::span<const double> sigma) const;

  /// Costs two more analyses and a pass over the worst sequence.
  [[nodiscard]] Contributions contributions() const;

 private:
  SensitivityQuestion question_;
  RecordPlace worst_{0, -1};
  std::int64_t rows_moved_ = 0;
  std::vector<double> score_bound_;
  std::vector<double> per_head_;
  double total_ = 0;
};

/// Reads a question from JSON. These must be there: `unit`, `lengths` [[Sq, Sk], ...], `causal`, `H`, `D`, and `C_q`,
/// `C_k`, `C_v` (a number or one a kv head). These may be left out: `block_m` (1), `window` [L, R] (none), `H_kv` (H),
/// `scale` (1 / sqrt(D)), `softcap` (none), `sigma` (a number or one a query head), `finite_precision` ("bf16", "fp16",
/// or {u_P, eps_s, eta_over_Cv} with own_spread = 1), `hetero_mu` (noise of least variance is asked for, at this mu of
/// a release; in [1e-8, 1000]), `id` and `desc`, which are not read. Numbers may be strings of decimals. Throws
/// UnusableInput naming the field, also for unknown and repeated ones.
struct QuestionDocument {
  SensitivityQuestion question;
  std::vector<double> sigma;  ///< empty: not given
  std::optional<double> hetero_mu = std::nullopt;
};
QuestionDocument parse_question(std::string_view json);

}  // namespace dpflash::attention
