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

/// The most keys that a row of the sequence sees. Counts are a concave function of the row, which bends where the left
/// edge leaves the first key and where the right edge meets the last.
std::int64_t most_visible(const Shape& shape, const SequenceLengths& lengths) {
  if (lengths.queries == 0) return 0;
  const std::int64_t offset = lengths.keys - lengths.queries;
  const auto side = [](std::int64_t window) { return std::min(window, std::int64_t{1} << 30); };
  const std::int64_t right = shape.causal ? 0 : std::max<std::int64_t>(side(shape.window.right), 0);
  std::int64_t most = 0;
  for (const std::int64_t row :
       {std::int64_t{0}, lengths.queries - 1, side(shape.window.left) - offset, lengths.queries - 1 - right})
    most = std::max(most, visible(shape, lengths, std::clamp<std::int64_t>(row, 0, lengths.queries - 1)).count());
  return most;
}

std::int64_t most_visible(const Shape& shape) {
  std::int64_t most = 0;
  for (const SequenceLengths& lengths : shape.lengths) most = std::max(most, most_visible(shape, lengths));
  return most;
}

/// FinitePrecision::own_spread of rounding, to nearest or down: an ulp, unless a clip factor may be so small that a
/// product leaves the normal numbers. Rows of norm 2^63 count as zero; those of fp16 are shorter anyway.
double spread_of(KernelElement element, double bound, double least_v, double head_dim) {
  const bool wide = element == KernelElement::bf16;
  const double longest = wide ? 0x1p63 : 65504 * std::sqrt(head_dim);
  // The 2 pays for the roundings of factors.
  const double least = std::exp(-bound) * least_v / longest / 2;
  if (!(least >= (wide ? 0x1p-126 : 0x1p-14))) return 1;
  return wide ? 0x1p-7 : 0x1p-10;
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
  double aligned = 0;  // as raw, where elements of fp16 count as at least 2^-14, sixteen of them in a step as 2^-12
  const double least = element == KernelElement::fp16 ? 0x1p-12 : 0;
  for (std::int32_t kv = 0; kv < question.shape.kv_heads; ++kv) {
    bound = std::max(bound, analysis::score_bound_up(question.shape, question.clips, kv));
    const double bare = analysis::score_bound_up(uncapped, question.clips, kv);
    raw = std::max(raw, bare);
    const auto clip = [&](const std::vector<double>& clips) {
      return clips[clips.size() == 1 ? 0 : static_cast<std::size_t>(kv)];
    };
    aligned = std::max(aligned, bare * (1 + least / clip(question.clips.q)) * (1 + least / clip(question.clips.k)) *
                                    (least > 0 ? 1 + 0x1p-40 : 1));
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
  out.eps_s = aligned * dot + raw * 7 * 0x1p-24 + 0x1p-22;
  // tanh is computed within 1e-6.
  if (question.shape.softcap) out.eps_s += *question.shape.softcap * 0x1p-19;
  out.own_spread =
      spread_of(element, bound + out.eps_s, *std::min_element(question.clips.v.begin(), question.clips.v.end()),
                question.shape.head_dim);
  // fp16 operands below 2^-14 are aligned as if they were 2^-14. A product of p and c that is not zero is at least
  // 2^-24, and moves its value by at most 2^10 p C_v: ten units of that, of the sum of the p.
  const double subnormal = element == KernelElement::fp16 ? 10 * 0x1p-13 : 0;
  out.eta_over_cv = (1 + out.u_p) * (1 + 0x1p-22) * (numerator + denominator + 3 * 0x1p-24 + subnormal);
  return out;
}

bool covers_kernel(KernelElement element, const SensitivityQuestion& question) {
  try {
    const FinitePrecision needed = kernel_precision(element, question);
    const FinitePrecision& has = question.precision;
    return has.u_p >= needed.u_p && has.eps_s >= needed.eps_s && has.eta_over_cv >= needed.eta_over_cv &&
           has.own_spread >= needed.own_spread;
  } catch (const accounting::UnusableInput&) {
    return false;
  }
}

}  // namespace dpflash::attention
