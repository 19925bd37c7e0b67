// Integrals over half-bins for the Gaussian and the Poisson-sampled Gaussian pair (docs/math/discretisation.md, section
// 5).
#pragma once

#include <cstddef>
#include <vector>

namespace dpflash::accounting {

/// Columns over half-bins (ell_i, ell_{i+1}]: rise = int (dP - e^{ell_i} dQ), fall = int (e^{ell_{i+1}} dQ - dP),
/// q_mass = e^{ell_i} int dQ, all in units of P-mass and >= 0, to the relative error `error`.
struct HalfBins {
  std::vector<double> rise, fall, q_mass, error;
};

/// The pair P = (1-q) N(0, s^2) + q N(1, s^2), Q = N(0, s^2); rate q = 1 gives the plain Gaussian pair.
/// A point x has loss ln(1-q) + y with e^y - 1 = r e^{(2x-1)/2s^2}, r = q/(1-q); for q = 1 simply y = (2x-1)/2s^2.
struct GaussianPair {
  double sigma;
  double rate;

  [[nodiscard]] bool plain() const { return rate == 1; }
  /// The point of excess loss y > 0 (any y when plain).
  [[nodiscard]] double point(double y) const;
  /// The excess loss of a point, by log1p: nothing cancels at the singular end y = 0.
  [[nodiscard]] double excess(double x) const;
};

/// Half-bins i = 0 .. count-1 over excess losses (first + i width, first + (i+1) width]; first may be <= 0 when the
/// rate is below 1 (such bins hold what lies at the singular end). width in (0, 100].
HalfBins gaussian_half_bins(const GaussianPair& pair, double first, double width, std::size_t count);

/// One bin of excess losses (from, to], 0 < from: rise and fall as above, to the relative error `error`.
struct GaussianBin {
  double rise = 0, fall = 0, error = 0;
};
GaussianBin gaussian_bin(const GaussianPair& pair, double from, double to);

/// int_{x <= end} (e^{ell(end)} dQ - dP) and its relative error bound 1e3 u: the left cell's fall.
double gaussian_left_fall(const GaussianPair& pair, double end);

}  // namespace dpflash::accounting
