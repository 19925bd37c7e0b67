#include <algorithm>

#include "inversion/nodes.hpp"
#include "special/simd_math.hpp"

namespace dpflash::accounting::inversion {
namespace {

using simd::load;
using simd::store;
using simd::V;

DPFLASH_SIMD_INLINE V absolute(V x) { return (V)((simd::VBits)x & 0x7FFFFFFFFFFFFFFFULL); }
DPFLASH_SIMD_INLINE V larger(V x, V y) { return x > y ? x : y; }

/// ln(1 - q + q e^u) and what belongs to it; errors in units of u.
struct LossPart {
  V loss;
  V loss_error;
  V rise;   // upper bound of d loss / du = q e^u / (1 - q + q e^u)
  V ratio;  // v = q (e^u - 1)
  V ratio_error;
};

DPFLASH_SIMD_INLINE LossPart low_rate_part(V u, double q) {
  const V em = simd::expm1(u), v = q * em;
  const V loss = simd::log1p(v);
  const V rise = (q * (1.0 + 1e-12)) * (em + (1.0 + 1e-15)) / (1.0 + v);
  return {loss, 15.0 * absolute(loss) + 4.1 * rise * absolute(u), rise, v,
          7.0 * absolute(v) + 5.0 * (absolute(v) + q) * absolute(u)};
}

/// The same through e^-u for q > 1/2, where 1 + v would cancel.
DPFLASH_SIMD_INLINE LossPart high_rate_part(V u, double q) {
  const V w = (1.0 - q) * simd::expm1(-u);
  const V v = q * simd::expm1(u);
  const V rise = (q * (1.0 + 1e-12)) / (1.0 + w);
  return {u + simd::log1p(w), 22.0 * absolute(u), rise, v, 7.0 * absolute(v) + 5.0 * (absolute(v) + q) * absolute(u)};
}

template <Pair kPair, bool kHighRate>
DPFLASH_SIMD_INLINE kernel::Largest fill(Nodes& nodes) {
  const double q = nodes.rate, theta = nodes.theta, inverse = 1.0 / (nodes.sigma * nodes.sigma);
  const double half = 0.5 * inverse, a = theta + 1.0;
  double* out = nodes.storage.data();
  const std::size_t n = nodes.size;
  V largest = V{} - 1e300, largest_tilt = V{} - 1e300;
  for (std::size_t i = 0; i < n; i += simd::kLanes) {
    const V x = simd::ramp(nodes.first + static_cast<double>(i)) * nodes.spacing;
    const V gauss = -((x * x) * half);
    const V u = (x - 0.5) * inverse;
    const LossPart one = kHighRate ? high_rate_part(u, q) : low_rate_part(u, q);
    V loss = one.loss, loss_error = one.loss_error, tilt, tilt_error, linear, linear_error, rise_other = {};
    if (kPair == Pair::remove) {
      tilt = a * one.loss;
      tilt_error = a * one.loss_error + absolute(tilt);
      linear = a * one.ratio;
      linear_error = a * one.ratio_error;
    } else if (kPair == Pair::add) {
      loss = -loss;
      tilt = theta * loss;
      tilt_error = theta * one.loss_error + absolute(tilt);
      linear = -theta * one.ratio;
      linear_error = theta * one.ratio_error;
    } else {
      const V mirrored = (-0.5 - x) * inverse;
      const LossPart other = kHighRate ? high_rate_part(mirrored, q) : low_rate_part(mirrored, q);
      const V up = a * one.loss, down = theta * other.loss;
      loss = one.loss - other.loss;
      loss_error = one.loss_error + other.loss_error + absolute(loss);
      tilt = up - down;
      tilt_error = a * one.loss_error + theta * other.loss_error + 2.0 * (absolute(up) + absolute(down));
      linear = a * one.ratio - theta * other.ratio;
      linear_error = a * (one.ratio_error + absolute(one.ratio)) + theta * (other.ratio_error + absolute(other.ratio));
      rise_other = other.rise;
    }
    largest = larger(gauss + tilt, largest);
    largest_tilt = larger(tilt, largest_tilt);
    store(out + Nodes::kGauss * n + i, gauss);
    store(out + Nodes::kTilt * n + i, tilt);
    store(out + Nodes::kLoss * n + i, loss);
    store(out + Nodes::kLossError * n + i, loss_error);
    store(out + Nodes::kTiltError * n + i, tilt_error);
    store(out + Nodes::kRise * n + i, one.rise);
    store(out + Nodes::kRiseOther * n + i, rise_other);
    store(out + Nodes::kLinear * n + i, linear);
    store(out + Nodes::kLinearError * n + i, linear_error);
  }
  kernel::Largest result{-1e300, -1e300};
  for (std::size_t lane = 0; lane < simd::kLanes; ++lane) {
    result.exponent = std::max(result.exponent, largest[lane]);
    result.tilt = std::max(result.tilt, largest_tilt[lane]);
  }
  return result;
}

}  // namespace

namespace kernel {

DPFLASH_MULTIVERSION Largest fill_columns(Nodes& nodes) {
  const bool high = nodes.rate > 0.5;
  switch (nodes.pair) {
    case Pair::remove:
      return high ? fill<Pair::remove, true>(nodes) : fill<Pair::remove, false>(nodes);
    case Pair::add:
      return high ? fill<Pair::add, true>(nodes) : fill<Pair::add, false>(nodes);
    default:
      return high ? fill<Pair::replace, true>(nodes) : fill<Pair::replace, false>(nodes);
  }
}

DPFLASH_MULTIVERSION void fill_weights(Nodes& nodes) {
  const std::size_t n = nodes.size;
  const double* gauss = nodes.column(Nodes::kGauss);
  const double* tilt = nodes.column(Nodes::kTilt);
  const double* loss = nodes.column(Nodes::kLoss);
  const double* loss_error = nodes.column(Nodes::kLossError);
  const double* tilt_error = nodes.column(Nodes::kTiltError);
  const double* linear = nodes.column(Nodes::kLinear);
  const double* linear_error = nodes.column(Nodes::kLinearError);
  double* weight = nodes.column(Nodes::kWeight);
  V total = {}, first = {}, bernoulli = {}, bernoulli_error = {};
  for (std::size_t i = 0; i < n; i += simd::kLanes) {
    const V g = load(gauss + i), b = load(tilt + i);
    const V w = simd::exp((g + b) - nodes.shift);
    store(weight + i, w);
    total += w;
    first += w * load(loss + i);
    if (nodes.shift != 0) continue;
    const V density = simd::exp(g), power = simd::expm1(b), term = power - load(linear + i);
    bernoulli += density * term;
    bernoulli_error += density * (4.0 * absolute(power) + (1.0 + power) * load(tilt_error + i) +
                                  load(linear_error + i) + absolute(term) * (7.0 - 5.0 * g));
  }
  NodeSums& s = nodes.sums;
  s.weight = simd::sum(total);
  s.mean_loss = simd::sum(first) / s.weight;
  s.bernoulli = simd::sum(bernoulli);
  // Every term's error was counted with its sign dropped; n/8 + 4 more roundings come from the sum itself.
  s.bernoulli_error =
      1.01 * simd::kUnit * (simd::sum(bernoulli_error) + (static_cast<double>(n) / 8 + 4) * s.bernoulli);
  V variance = {}, deviation = {}, eta = {}, eta_deviation = {}, error = {};
  for (std::size_t i = 0; i < n; i += simd::kLanes) {
    const V w = load(weight + i), d = load(loss + i) - s.mean_loss, size = absolute(d);
    const V g = load(gauss + i), exponent = g + load(tilt + i);
    const V relative = 3.0 - 6.0 * g + load(tilt_error + i) + absolute(exponent) + absolute(exponent - nodes.shift);
    variance += w * d * d;
    deviation += w * size;
    eta += w * relative;
    eta_deviation += w * relative * size;
    error += w * load(loss_error + i);
  }
  const double scale = 1.0 / s.weight, unit = 1.01 * simd::kUnit * scale;
  s.variance = simd::sum(variance) * scale;
  s.mean_deviation = 1.01 * simd::sum(deviation) * scale;
  s.weight_error = unit * simd::sum(eta);
  s.weight_deviation = unit * simd::sum(eta_deviation);
  s.loss_error = unit * simd::sum(error);
}

}  // namespace kernel

DPFLASH_MULTIVERSION void characteristic_sums(const double* w, const double* d, std::size_t n, const double* t,
                                              std::size_t m, double* re, double* im) {
  for (std::size_t j = 0; j < m; ++j) {
    const double half = 0.5 * t[j];
    V real = {}, imaginary = {};
    for (std::size_t i = 0; i < n; i += simd::kLanes) {
      const simd::SinCos turn = simd::sincos(half * load(d + i));
      const V arm = load(w + i) * turn.sine;
      real += arm * turn.sine;
      imaginary += arm * turn.cosine;
    }
    re[j] = -2.0 * simd::sum(real);
    im[j] = 2.0 * simd::sum(imaginary);
  }
}

}  // namespace dpflash::accounting::inversion
