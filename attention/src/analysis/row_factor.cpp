#include "analysis/row_factor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "shape/shape.hpp"

namespace dpflash::attention::analysis {
namespace {

constexpr double kUnit = 0x1p-53;

/// Pays for `units` relative errors of 2^-53, its own rounding included.
double up(double x, double units) { return x * (1 + (units + 2) * kUnit); }

}  // namespace

double score_bound_up(const Shape& shape, const Clips& clips, std::int32_t kv_head) noexcept {
  // In long double no partial product leaves the range, whatever comes after it.
  const long double product = static_cast<long double>(std::abs(scale_of(shape))) * clip_of(clips.q, kv_head) *
                              static_cast<long double>(clip_of(clips.k, kv_head));
  // A default scale has two roundings, the conversion one; it may underflow.
  const double bound = up(static_cast<double>(product), 4) + 2 * std::numeric_limits<double>::denorm_min();
  if (!shape.softcap) return bound;
  const double c = *shape.softcap;
  // c tanh(B/c) <= min(B, c); below 1e-8 the first is as good, and the quotient may underflow.
  if (!(bound / c > 1e-8)) return std::min(bound, c);
  return std::min({bound, c, up(c * std::tanh(bound / c), 16)});
}

RowFactor::RowFactor(Unit unit, double score_bound, const FinitePrecision& precision) noexcept
    : unit_(unit),
      growth_(precision.u_p > 0 || precision.eps_s > 0 || precision.eta_over_cv > 0
                  ? up((1 + precision.u_p) * (1 + 0x1p-23), 4)
                  : 1),
      slack_(2 * precision.eta_over_cv),
      own_spread_(growth_ > 1 ? precision.own_spread : 0) {
  // Rounded up: the bounds grow with B. A zeroed key has a score with an error too: weights relative to its own are off
  // by both.
  const double errors = (unit == Unit::zero_out ? 2 : 1) * precision.eps_s;
  const double b = errors > 0 ? up(score_bound + errors, 2) : score_bound;
  root_ = std::exp(-b / 2);
  reciprocal_ = std::exp(-b);
  square_ = std::exp(-2 * b);
  one_minus4_ = -std::expm1(-4 * b);
}

double RowFactor::operator()(const Moved& moved) const noexcept {
  if (unit_ == Unit::sequence) return 2 * growth_;
  if (unit_ == Unit::zero_out) return std::min(up(zeroed(moved.visible), 48), 2.0) * growth_;
  if (unit_ == Unit::token_add_remove && moved.visible == moved.changed) return growth_;
  // T(1) = w(1) and T(2) = w(2): the same digits, so that records that tie compare equal.
  const bool own = moved.own && moved.visible > 2;
  const double share = own ? up(own_row(moved.visible), 32) : up(replaced(moved.visible, moved.changed), 16);
  if (moved.own && own_spread_ > 0 && share < 1)
    return std::min(up(2 * share + own_spread_ * (1 - share), 4), 2.0) * growth_;
  return 2 * std::min(share, 1.0) * growth_;
}

// m / (m + (n - m) e^(-2B)).
double RowFactor::replaced(std::int64_t n, std::int64_t m) const noexcept {
  return 1 / (1 + static_cast<double>(n - m) / static_cast<double>(m) * square_);
}

// The key had score B and the others weigh Z together, between (n - 1) e^(-B) and (n - 1) e^B; zeroed, its weight is 1.
// The row moves by max(2p - p', p'), with p = 1 / (1 + Z e^(-B)) and p' = 1 / (1 + Z).
double RowFactor::zeroed(std::int64_t n) const noexcept {
  if (n == 1) return 1;
  const auto others = static_cast<double>(n - 1);
  const double p_zero = 1 / (1 + others * reciprocal_);
  const double least = 2 / (1 + others * square_) - p_zero;
  const double most = 2 / (1 + others) - 1 / (1 + others / reciprocal_);
  double z = std::max({p_zero, least, most});
  const double lead = 1 - std::numbers::sqrt2 * root_;
  // Inside, Z* = lead / (root (sqrt 2 - root)): the one maximum of 2p - p', so that a doubtful edge may count as
  // inside.
  if (lead > 0 && lead <= others * (std::numbers::sqrt2 - root_) / root_ * (1 + 1e-12)) {
    const double scaled = root_ * lead / (std::numbers::sqrt2 - root_);
    const double p_star = root_ > 0 ? 1 / (1 + lead / (root_ * (std::numbers::sqrt2 - root_))) : 0;
    // Z* below (n - 1) e^(-B) is outside too.
    if (scaled >= others * square_ * (1 - 1e-12)) z = std::max(z, 2 / (1 + scaled) - p_star);
  }
  return z;
}

// T(n) = 1 - h(a) - h(b), a and b the halves of n - 1 and h(x) = x / (n E - x (E - 1)), over a common denominator:
// every term is positive, so nothing cancels.
double RowFactor::own_row(std::int64_t n) const noexcept {
  const auto a = static_cast<double>((n - 1) / 2);
  const auto b = static_cast<double>((n - 1) - (n - 1) / 2);
  const double x = square_;
  const double corners = (a + 1) * (b + 1);
  return (static_cast<double>(n) * x * x + corners * one_minus4_) / ((b + 1 + a * x) * (a + 1 + b * x));
}

}  // namespace dpflash::attention::analysis
