#include "lattice/gaussian_bins.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "lattice/table_parts.hpp"
#include "special/rounding.hpp"
#include "special/simd_math.hpp"

namespace dpflash::accounting {
namespace {

constexpr double kInvSqrt2Pi = 0.398942280401432677939946059934;

// Gauss-Legendre on [0, 1]; node i and node n-1-i are mirror images.
constexpr RuleNode kRule4[4] = {{0.069431844202973712388, 0.17392742256872692869},
                                {0.3300094782075718676, 0.32607257743127307131},
                                {0.6699905217924281324, 0.32607257743127307131},
                                {0.93056815579702628761, 0.17392742256872692869}};
// As kExtent8, for four nodes.
constexpr double kExtent4 = 0.02;

struct Columns {
  double* rise;
  double* fall;
  double* q_mass;
  double* error;
  double* extent;
};

struct Shape {
  double sigma, rate, first, width, odds;
  bool plain;
};

// e^v - 1 for 0 <= v <= 0.25 by its Taylor polynomial: relative remainder below u / 8.
DPFLASH_SIMD_INLINE simd::V short_expm1(simd::V v) {
  simd::V p = v * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
  p = p * v + 1.0 / 39916800.0;
  p = p * v + 1.0 / 3628800.0;
  p = p * v + 1.0 / 362880.0;
  p = p * v + 1.0 / 40320.0;
  p = p * v + 1.0 / 5040.0;
  p = p * v + 1.0 / 720.0;
  p = p * v + 1.0 / 120.0;
  p = p * v + 1.0 / 24.0;
  p = p * v + 1.0 / 6.0;
  p = p * v + 0.5;
  return v + (v * v) * p;
}

DPFLASH_SIMD_INLINE simd::V magnitude(simd::V x) { return x < 0.0 ? -x : x; }
DPFLASH_SIMD_INLINE simd::V larger(simd::V a, simd::V b) { return a > b ? a : b; }

struct Moments {
  simd::V one, rise, fall;
};

// Means over v in [0, t] of e^{-v (x + s^2 v / 2)} times 1, e^v - 1 and e^t - e^v.
template <std::size_t N>
DPFLASH_SIMD_INLINE Moments moments(const RuleNode (&rule)[N], simd::V t, simd::V x, double half_variance) {
  std::array<simd::V, N> grow;
  for (std::size_t i = 0; i < N; ++i) grow[i] = short_expm1(rule[i].node * t);
  Moments m{};
  for (std::size_t i = 0; i < N; ++i) {
    const simd::V v = rule[i].node * t;
    const simd::V e = rule[i].weight * simd::exp_normal(-(v * (x + half_variance * v)));
    m.one += e;
    m.rise += e * grow[i];
    m.fall += e * ((1.0 + grow[i]) * grow[N - 1 - i]);
  }
  return m;
}

// Half-bins from `from` on, eight at a time; lanes whose extent is above kExtent8 are not to be used.
DPFLASH_MULTIVERSION void narrow_half_bins(const Shape& shape, std::size_t from, std::size_t count,
                                           const Columns& out) {
  const double variance = shape.sigma * shape.sigma;
  const double grow = std::expm1(shape.width);
  const double scale = shape.rate * shape.sigma * kInvSqrt2Pi;
  for (std::size_t i = from; i < count; i += simd::kLanes) {
    const simd::V y = shape.first + simd::ramp(static_cast<double>(i)) * shape.width;
    const simd::V rest = shape.plain ? simd::V{} + 1.0 : -simd::expm1(-y);
    const simd::V t = simd::log1p(grow / rest);
    // one logarithm of the ratio: where the point is near the middle both terms would be large and cancel
    const simd::V log_rest = shape.plain ? simd::V{} : simd::log(rest / shape.odds);
    const simd::V x = variance * (y + log_rest) + 0.5;
    const simd::V from_one = x - 1.0;
    const simd::V standard = from_one / shape.sigma;
    const simd::V reach = larger(larger(magnitude(x), magnitude(from_one)), simd::V{} + std::max(shape.sigma, 1.0));
    const simd::V extent = t * reach;
    double widest = 0;
    for (std::size_t lane = 0; lane < simd::kLanes; ++lane)
      widest = std::max(widest, extent[lane] <= kExtent8 ? extent[lane] : 0);
    const simd::V safe_t = extent <= kExtent8 ? t : simd::V{};
    const Moments m =
        widest <= kExtent4 ? moments(kRule4, safe_t, x, 0.5 * variance) : moments(kRule8, safe_t, x, 0.5 * variance);
    const simd::V density = simd::exp(-0.5 * standard * standard) * (scale * t);
    const simd::V shift =
        kUnit * (variance * (16.0 + 6.0 * magnitude(log_rest) + 6.0 * magnitude(y)) + 8.0 * (magnitude(x) + 1.0));
    const simd::V error =
        kUnit * (80.0 + 4.0 * standard * standard) + 2.0 * (magnitude(from_one) / variance + t) * shift;
    const simd::V rise = density * m.rise, fall = density * m.fall, q_mass = density * m.one / rest;
    for (std::size_t lane = 0; lane < simd::kLanes && i + lane < count; ++lane) {
      out.rise[i + lane] = rise[lane];
      out.fall[i + lane] = fall[lane];
      out.q_mass[i + lane] = q_mass[lane];
      out.error[i + lane] = error[lane];
      out.extent[i + lane] = extent[lane] <= kExtent8 ? 0.0 : 1.0;
    }
  }
}

struct HalfBin {
  double rise = 0, fall = 0, q_mass = 0, error = 0;
};

// A half-bin too wide for one rule, cut into panels; x_left may be -inf.
class WideHalfBin {
 public:
  WideHalfBin(const GaussianPair& pair, double y_left, double y_right)
      : pair_(pair),
        variance_(pair.sigma * pair.sigma),
        y_left_(y_left),
        whole_left_(!pair.plain() && y_left <= 0),
        x_left_(whole_left_ ? -kInfinity : pair.point(y_left)),
        x_right_(pair.point(y_right)) {}

  HalfBin integrate() {
    const double reach = 40 * pair_.sigma;  // densities beyond are below e^-800
    double a = std::max(x_left_, -reach);
    const double end = std::min(x_right_, 1 + reach);
    while (a < end) {
      const double b = std::min(end, a + panel_width(a, end));
      panel(a, b);
      if (!(b > a)) break;
      a = b;
    }
    if (whole_left_) close_left();
    const double nearest =
        std::min(std::abs(std::clamp(0.0, std::max(x_left_, -reach), std::max(x_right_, -reach))),
                 std::abs(std::clamp(1.0, std::max(x_left_, -reach), std::max(x_right_, -reach)) - 1)) /
        pair_.sigma;
    const double z = nearest + 9;
    const double shift =
        16 * (variance_ * (1 + std::abs(y_left_) + 2 * std::abs(std::log(pair_.rate))) + std::abs(end) + 1);
    out_.error = kUnit * (256 + 4 * z * z + 2 * shift * z / pair_.sigma);
    return out_;
  }

 private:
  [[nodiscard]] double panel_width(double a, double end) const {
    const double from_left = (a - x_left_) / variance_, from_right = (x_right_ - a) / variance_;
    const double steep = from_left < 40 || from_right < 40 ? 1 : 0.1;
    const double reach = std::max(std::abs(a), std::abs(a - 1)) / variance_ + 1 / pair_.sigma + steep / variance_;
    const double width = kExtent8 / reach;
    return end - a < 1.5 * width ? end - a : width;
  }

  void panel(double a, double b) {
    for (const RuleNode& r : kRule8) {
      const double x = a + r.node * (b - a);
      const double weight = r.weight * (b - a) * kInvSqrt2Pi / pair_.sigma;
      const double z0 = x / pair_.sigma, z1 = (x - 1) / pair_.sigma;
      const double v = (x - x_left_) / variance_, s = (x_right_ - x) / variance_;
      const double log_hit = -0.5 * z1 * z1;
      out_.rise += weight * pair_.rate * std::exp(log_hit) * -std::expm1(-v);
      out_.fall += weight * pair_.rate * std::exp(log_hit + s) * -std::expm1(-s);
      if (pair_.plain()) {
        out_.q_mass += weight * std::exp(log_hit - v);
      } else if (y_left_ < 1) {
        out_.q_mass += weight * (1 - pair_.rate) * std::exp(y_left_ - 0.5 * z0 * z0);
      } else {
        out_.q_mass += weight * pair_.rate * std::exp(log_hit - v) / -std::expm1(-y_left_);
      }
    }
  }

  // The half-line in closed form: no term cancels for y_left <= 0 but the fall's, kept where it does not.
  void close_left() {
    const double q = pair_.rate;
    const double b = upper_tail(-x_right_ / pair_.sigma), c = upper_tail((1 - x_right_) / pair_.sigma);
    out_.rise = (1 - q) * -std::expm1(y_left_) * b + q * c;
    out_.q_mass = (1 - q) * std::exp(y_left_) * b;
    const double reference = (1 - q) * std::expm1(pair_.excess(x_right_)) * b;
    if (q * c < 0.5 * reference) out_.fall = reference - q * c;
  }

  const GaussianPair pair_;
  const double variance_, y_left_;
  const bool whole_left_;
  const double x_left_, x_right_;
  HalfBin out_;
};

}  // namespace

double GaussianPair::point(double y) const {
  const double variance = sigma * sigma;
  if (plain()) return variance * y + 0.5;
  const double level = y + std::log(-std::expm1(-y));
  return variance * (level - std::log(rate) + std::log1p(-rate)) + 0.5;
}

double GaussianPair::excess(double x) const {
  const double log_ratio = (2 * x - 1) / (2 * sigma * sigma);
  if (plain()) return log_ratio;
  const double level = log_ratio + std::log(rate) - std::log1p(-rate);
  return level > 30 ? level + std::log1p(std::exp(-level)) : std::log1p(std::exp(level));
}

HalfBins gaussian_half_bins(const GaussianPair& pair, double first, double width, std::size_t count) {
  HalfBins out;
  for (auto* column : {&out.rise, &out.fall, &out.q_mass, &out.error}) column->assign(count, 0.0);
  std::vector<double> extent(count, 1.0);
  // bins wholly left of the singular end are empty; the one that holds it is a half-line
  std::size_t from = 0;
  while (!pair.plain() && from < count && first + static_cast<double>(from) * width <= 0) ++from;
  const Shape shape{pair.sigma,  pair.rate, first, width, pair.plain() ? 1.0 : pair.rate / (1 - pair.rate),
                    pair.plain()};
  narrow_half_bins(shape, from, count,
                   Columns{out.rise.data(), out.fall.data(), out.q_mass.data(), out.error.data(), extent.data()});
  for (std::size_t i = 0; i < count; ++i) {
    if (extent[i] == 0) continue;
    const double left = first + static_cast<double>(i) * width, right = first + static_cast<double>(i + 1) * width;
    if (!pair.plain() && right <= 0) continue;
    const HalfBin bin = WideHalfBin(pair, left, right).integrate();
    out.rise[i] = bin.rise;
    out.fall[i] = bin.fall;
    out.q_mass[i] = bin.q_mass;
    out.error[i] = bin.error;
  }
  return out;
}

GaussianBin gaussian_bin(const GaussianPair& pair, double from, double to) {
  const HalfBin bin = WideHalfBin(pair, from, to).integrate();
  return {bin.rise, bin.fall, bin.error};
}

double gaussian_left_fall(const GaussianPair& pair, double end) {
  const double y = pair.excess(end);
  return WideHalfBin(pair, pair.plain() ? y - 1e4 : -1.0, y).integrate().fall;
}

}  // namespace dpflash::accounting
