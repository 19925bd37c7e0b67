// The error constants of the kernels, from their order of operations.
#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>

#include "analysis/scan.hpp"
#include "analysis/words.hpp"
#include "dpflash/attention/sensitivity.hpp"
#include "shape/shape.hpp"

namespace dpflash::attention {
namespace {

using accounting::UnusableInput;

std::int64_t most_visible(const Shape& shape) {
  std::int64_t most = 0;
  for (const auto& [lengths, first, copies] : analysis::distinct_lengths(shape))
    for (std::int64_t row = 0; row < lengths.queries; ++row)
      most = std::max(most, visible(shape, lengths, row).count());
  return most;
}

/// exp of a score has no maximum taken off: it must be a normal number of the element, and sums must stay in fp32.
void check_exact_range(KernelElement element, double bound, double keys, double largest_v) {
  const double limit = element == KernelElement::bf16 ? 70 : 9.7;
  const char* const name = element == KernelElement::bf16 ? "bf16" : "fp16";
  if (!(bound <= limit))
    throw UnusableInput("finite_precision", std::string(name) + " with scores up to " + analysis::written(bound),
                        "scores |scale| C_q C_k (after the softcap) up to " + analysis::written(limit));
  if (!(bound + std::log(std::max(keys, 1.0)) + std::log(std::max(largest_v, 1.0)) <= 88))
    throw UnusableInput("finite_precision", std::string(name) + " with sums beyond fp32",
                        "e^B C_v times the visible keys up to e^88");
}

}  // namespace

FinitePrecision kernel_precision(KernelElement element, const SensitivityQuestion& question) {
  check(question.shape);
  check(question.clips, question.shape);
  Shape uncapped = question.shape;
  uncapped.softcap.reset();
  double bound = 0;
  double raw = 0;
  for (std::int32_t kv = 0; kv < question.shape.kv_heads; ++kv) {
    bound = std::max(bound, analysis::score_bound_up(question.shape, question.clips, kv));
    raw = std::max(raw, analysis::score_bound_up(uncapped, question.clips, kv));
  }
  const auto keys = static_cast<double>(most_visible(question.shape));
  check_exact_range(element, bound, keys, *std::max_element(question.clips.v.begin(), question.clips.v.end()));

  constexpr double kMatrixStep = 10 * 0x1p-23;
  const double dot = std::ceil(question.shape.head_dim / 16.0) * kMatrixStep;
  // A range of keys meets up to two partly filled steps of 16; a row's sum is that of four lanes, then of the four.
  const double numerator = (keys / 16 + 2) * kMatrixStep;
  const double denominator = (keys / 4 + 6) * 0x1p-24;
  FinitePrecision out;
  out.u_p = element == KernelElement::bf16 ? 0x1p-8 : 0x1p-11;
  out.eps_s = raw * (dot + 7 * 0x1p-24) + 0x1p-22;
  // tanh is computed within 1e-6.
  if (question.shape.softcap) out.eps_s += *question.shape.softcap * 0x1p-19;
  out.eta_over_cv = (1 + out.u_p) * (1 + 0x1p-22) * (numerator + denominator + 3 * 0x1p-24);
  return out;
}

}  // namespace dpflash::attention
