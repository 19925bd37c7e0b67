#include "lattice/tilted_law.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "special/rounding.hpp"
#include "special/simd_math.hpp"

namespace dpflash::accounting {
namespace {

double pairwise_sum(const double* a, std::size_t n) {
  if (n <= 64) {
    double s = 0;
    for (std::size_t i = 0; i < n; ++i) s += a[i];
    return s;
  }
  const std::size_t half = n / 2;
  return pairwise_sum(a, half) + pairwise_sum(a + half, n - half);
}

// Within ln 2 above the largest ln(mass_i) + i * slope.
double log_peak(const std::vector<double>& mass, double slope) {
  double peak = -kInfinity;
  for (std::size_t i = 0; i < mass.size(); ++i) {
    if (mass[i] > 0)
      peak = std::max(peak, (std::ilogb(mass[i]) + 1) * 0.6931471805599453 + static_cast<double>(i) * slope);
  }
  return peak;
}

// Minimises a unimodal function of s > 0 roughly: any s gives a valid bound, the best one a tight bound.
template <class F>
double smallest(double guess, const F& f) {
  double best = kInfinity, at = guess;
  for (const double r : {1.2, 0.5, 0.15, 0.03, 5e-3, 5e-4, 2e-5, 4.0}) {
    const double v = f(guess * r);
    if (v < best) {
      best = v;
      at = guess * r;
    }
  }
  for (const double r : {0.6, 1.7, 0.8, 1.25, 0.9, 1.1}) {
    const double v = f(at * r);
    if (v < best) {
      best = v;
      at *= r;
    }
  }
  return best;
}

// z^k for blocks of coefficients, by squaring.
void raise(const std::complex<double>* in, std::complex<double>* out, std::size_t n, std::int64_t k, bool first) {
  constexpr std::size_t kBlock = 64;
  double zr[kBlock], zi[kBlock], rr[kBlock], ri[kBlock];
  for (std::size_t s = 0; s < n; s += kBlock) {
    const std::size_t m = std::min(kBlock, n - s);
    for (std::size_t i = 0; i < kBlock; ++i) {
      zr[i] = i < m ? in[s + i].real() : 0;
      zi[i] = i < m ? in[s + i].imag() : 0;
      rr[i] = first || i >= m ? 1 : out[s + i].real();
      ri[i] = first || i >= m ? 0 : out[s + i].imag();
    }
    for (std::int64_t e = k; e > 0;) {
      if ((e & 1) != 0) {
        for (std::size_t i = 0; i < kBlock; ++i) {
          const double a = rr[i] * zr[i] - ri[i] * zi[i], b = rr[i] * zi[i] + ri[i] * zr[i];
          rr[i] = a;
          ri[i] = b;
        }
      }
      e >>= 1;
      if (e > 0) {
        for (std::size_t i = 0; i < kBlock; ++i) {
          const double a = (zr[i] - zi[i]) * (zr[i] + zi[i]), b = 2 * zr[i] * zi[i];
          zr[i] = a;
          zi[i] = b;
        }
      }
    }
    for (std::size_t i = 0; i < m; ++i) out[s + i] = {rr[i], ri[i]};
  }
}

}  // namespace

TiltedLaw tilt(const LatticeLaw& law, double theta, double loss_error, Side side) {
  TiltedLaw out;
  out.start = law.start;
  out.spacing = law.spacing;
  out.theta = theta;
  out.loss_error = loss_error;
  out.infinity = law.infinity;
  const double slope = theta * law.spacing;
  const double peak = log_peak(law.mass, slope);
  if (!std::isfinite(peak)) return out;
  out.mass.assign(law.mass.begin(), law.mass.end());
  simd::scale_exp(out.mass.data(), out.mass.size(), -peak, slope);
  const double sign = side == Side::upper ? 1 : -1;
  for (std::size_t i = 0; i < out.mass.size(); ++i) {
    const double at = static_cast<double>(i) * slope;
    out.mass[i] *= 1 + sign * kUnit * (16 + 2 * at + std::abs(at - peak));
  }
  const double sum = pairwise_sum(out.mass.data(), out.mass.size());
  const double scale = 1 / sum, round = 1 + sign * 4 * kUnit;
  for (double& m : out.mass) m *= scale * round;
  out.log_scale = peak + std::log(sum) + theta * law.start;
  out.log_scale_error = kUnit * (64 + 4 * std::abs(peak) + 8 * std::abs(theta * law.start));
  return out;
}

MomentBound::MomentBound(const RealVector& mass) {
  const std::size_t n = mass.size();
  if (n == 0) return;
  for (std::size_t i = 0; i < n; ++i) mean_ += mass[i] * static_cast<double>(i);
  for (std::size_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(i) - mean_;
    variance_ += mass[i] * d * d;
  }
  // up to a 48th of the distance from the mean; and nothing finer than a quarter of a deviation is needed
  const double fine = std::max(1.0, std::floor(0.25 * std::sqrt(variance_)));
  for (double at = 0; at < static_cast<double>(n);) {
    place_.push_back(at);
    // the next end must not lie nearer to the mean than its own width allows
    const double left = mean_ - at;
    at += std::max(fine, std::floor(left > 0 ? left / 49 : -left / 48));
  }
  place_.push_back(std::max(place_.back() + 1, static_cast<double>(n)));
  mass_.assign(place_.size(), 0.0);
  std::size_t most = 0;
  for (std::size_t cell = 0; cell + 1 < place_.size(); ++cell) {
    const auto from = static_cast<std::size_t>(place_[cell]);
    const std::size_t to = std::min(n, static_cast<std::size_t>(place_[cell + 1]));
    const double inverse = 1 / (place_[cell + 1] - place_[cell]);
    double right = 0, all = 0;
    for (std::size_t i = from; i < to; ++i) {
      all += mass[i];
      right += mass[i] * static_cast<double>(i - from) * inverse;
    }
    mass_[cell] += std::max(0.0, all - right);
    mass_[cell + 1] += right;
    most = std::max(most, to - from);
  }
  rounding_ = kUnit * static_cast<double>(2 * most + place_.size() + 64);
  const auto holds = [](double m) { return m > 0; };
  const auto first = std::find_if(mass_.begin(), mass_.end(), holds);
  const auto last = std::find_if(mass_.rbegin(), mass_.rend(), holds);
  if (first == mass_.end()) return;
  first_ = place_[static_cast<std::size_t>(first - mass_.begin())];
  last_ = place_[mass_.size() - 1 - static_cast<std::size_t>(last - mass_.rbegin())];
}

double MomentBound::log_at(double s) const {
  const double shift = s * (s > 0 ? last_ : first_);
  double sum = 0;
  for (std::size_t i = 0; i < place_.size(); ++i) sum += mass_[i] * std::exp(s * place_[i] - shift);
  // what underflowed, wholly or in part, is less than this
  constexpr double kLost = 1e-290;
  // the exponents are off by two units of their sizes
  const double reach = place_.empty() ? 0 : place_.back();
  const double slack = rounding_ + 4 * kUnit * std::abs(s) * reach + 4 * kUnit * std::abs(shift);
  if (!(sum < kInfinity)) return kInfinity;
  return shift + std::log(std::max(sum, kLost)) + slack;
}

Window chernoff_window(const std::vector<Power>& powers, double log_tail, double log_untilted) {
  double variance = 0, scale = 0, theta = 0;
  std::vector<MomentBound> bounds;
  const double h = powers.front().law->spacing;
  for (const Power& p : powers) {
    bounds.emplace_back(p.law->mass);
    variance += static_cast<double>(p.count) * bounds.back().variance();
    scale += static_cast<double>(p.count) * (p.law->log_scale - p.law->theta * p.law->start);
    theta = p.law->theta;
  }
  const double deviation = std::sqrt(variance) + 1e-3;
  const auto log_moment = [&](double s) {
    double sum = 0;
    for (std::size_t i = 0; i < powers.size(); ++i)
      sum += static_cast<double>(powers[i].count) * (bounds[i].log_at(s) + 16 * kUnit);
    return sum;
  };
  const double guess = std::sqrt(-2 * log_tail) / deviation;
  double high = smallest(guess, [&](double s) { return (log_moment(s) - log_tail) / s; });
  const double low = smallest(guess, [&](double s) { return (log_moment(-s) - log_tail) / s; });
  if (log_untilted <= 0) {
    const double step = theta * h;
    const double more = smallest(guess, [&](double s) { return (log_moment(s) + scale - log_untilted) / (step + s); });
    high = std::max(high, more);
  }
  if (!std::isfinite(low) || !std::isfinite(high)) throw TooLong(2);
  double support = 0;
  for (const Power& p : powers) support += static_cast<double>(p.count) * static_cast<double>(p.law->mass.size() - 1);
  const double a = std::max(0.0, std::floor(-low) - 1), b = std::min(support + 1, std::ceil(high) + 2);
  return {static_cast<std::int64_t>(a), static_cast<std::int64_t>(std::max(b, a + 1)), log_tail};
}

Composed compose(const std::vector<Power>& powers, const Window& window) {
  const std::size_t n = RealFft::fast_size(static_cast<std::size_t>(window.high - window.low) + 2);
  const RealFft fft(n);
  ComplexVector spectrum(n / 2 + 1), product(n / 2 + 1);
  RealVector buffer(n);
  Composed out;
  TiltedLaw& law = out.law;
  law.spacing = powers.front().law->spacing;
  law.theta = powers.front().law->theta;
  double log_finite = 0, many = 0, few = 0, total = 0, slack = 0;
  bool first = true;
  const auto phases = static_cast<double>(powers.size());
  for (const Power& p : powers) {
    const RealVector& m = p.law->mass;
    std::fill(buffer.begin(), buffer.end(), 0.0);
    for (std::size_t s = 0; s < m.size(); s += n) {
      const std::size_t e = std::min(n, m.size() - s);
      for (std::size_t i = 0; i < e; ++i) buffer[i] += m[s + i];
    }
    fft.forward(buffer, spectrum);
    raise(spectrum.data(), product.data(), spectrum.size(), p.count, first);
    first = false;
    const auto k = static_cast<double>(p.count);
    total += k;
    // the transform's error, and that of folding, which adds each cell's terms in turn
    const double d = fft.error_per_mass() * (1 + 1e-10) + kUnit * static_cast<double>(m.size() / n + 1);
    // |F| >= 1/2 doubles the relative error; where |F| < 1/2, F^(k-1) itself is at most (1/2 + d)^(k-1)
    if (p.count >= 64) {
      many += 2 * k * d;
      slack += std::exp((k - 1) * std::log(0.5 + d));
    } else {
      few += k * d;
    }
    out.outside += 2 * k * p.law->missing;
    law.start += k * p.law->start;
    law.log_scale += k * p.law->log_scale;
    law.log_scale_error += k * p.law->log_scale_error + (4 + phases) * kUnit * std::abs(k * p.law->log_scale);
    law.loss_error += k * p.law->loss_error + (4 + phases) * kUnit * std::abs(k * p.law->start);
    log_finite += k * std::log1p(-std::min(p.law->infinity, 1.0));
  }
  law.infinity = -std::expm1(log_finite) * (1 + 8 * kUnit);
  double magnitude = 0;
  for (const auto& z : product) magnitude += std::abs(z.real()) + std::abs(z.imag());
  magnitude *= 2 / static_cast<double>(n);
  const double growth = std::exp(many + few + 4 * total * kUnit);
  out.mass_error = growth * (magnitude * (many + 3 * kUnit * total) + few + slack);
  fft.inverse(product, buffer);
  law.mass.resize(n);
  const auto shift = static_cast<std::size_t>(window.low % static_cast<std::int64_t>(n));
  const double scale = 1 / static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t j = i + shift;
    if (j >= n) j -= n;
    law.mass[i] = buffer[j] * scale;
  }
  out.mass_error += (fft.error_per_mass() + 4 * kUnit) * magnitude;  // of the inverse transform
  if (std::isnan(out.mass_error)) out.mass_error = kInfinity;        // so is some mass: nothing is known
  law.start += static_cast<double>(window.low) * law.spacing;
  law.loss_error += 4 * kUnit * std::abs(law.start) + 4 * kUnit * static_cast<double>(window.low) * law.spacing;
  // twice both tails: what the bounds of the windows leave out of account (docs/math/windows.md)
  out.outside += 4 * std::exp(window.log_tail);
  return out;
}

}  // namespace dpflash::accounting
