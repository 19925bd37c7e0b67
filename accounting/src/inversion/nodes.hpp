// One sampled step on an equidistant grid: tilted weights and losses with their errors (docs/math/inversion.md, section
// 3).
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace dpflash::accounting::inversion {

/// Which law is tilted: p = 1-q+q lambda against 1 (remove), 1 against p (add), p(x) against p(-x) (replace).
enum class Pair { remove, add, replace };

/// `count` equal sampled Gaussian steps; rate in (0, 1).
struct SampledPhase {
  double sigma;
  double rate;
  double count;
  Pair pair;
};

/// Sums over the grid. "Tilted mean" is over the normalised weights; errors are absolute bounds.
struct NodeSums {
  double weight;            // sum of the weights
  double mean_loss;         // a double near the tilted mean of the loss: the centre c, used as an exact number
  double variance;          // tilted second moment about c
  double mean_deviation;    // tilted mean of |loss - c|
  double weight_error;      // tilted mean of the weights' relative error
  double weight_deviation;  // tilted mean of (relative weight error) |loss - c|
  double loss_error;        // tilted mean of the losses' absolute error
  double bernoulli;         // sum of exp(-x^2/2sigma^2) ((1+v)^a - 1 - a v), all terms >= 0; valid if shift == 0
  double bernoulli_error;   // rounding error of `bernoulli`
};

/// Nodes x_i = (first + i) spacing, exact doubles. The last eight lie beyond the window; cells are [x_i, x_(i+1)] for
/// i < size - 8. Arrays have `size` entries, a multiple of 8.
struct Nodes {
  double theta;
  double sigma;
  double rate;
  Pair pair;
  double spacing;
  double first;
  std::size_t size;
  std::vector<double> storage;
  double shift;        // weight = exp(gauss + tilt - shift); 0 unless the weights would overflow
  double left_slope;   // the log-weight rises at least so fast left of x_0 ...
  double right_slope;  // ... and falls at least so fast right of x_(size-8)
  NodeSums sums;

  enum Column {
    kGauss,
    kTilt,
    kLoss,
    kLossError,
    kTiltError,
    kRise,
    kRiseOther,
    kLinear,
    kLinearError,
    kWeight,
    kColumns
  };
  const double* column(Column c) const { return storage.data() + static_cast<std::size_t>(c) * size; }
  double* column(Column c) { return storage.data() + static_cast<std::size_t>(c) * size; }
  /// Index of the last cell's right end.
  std::size_t last() const { return size - 8; }
  /// Bound of the weights, times spacing or integrated, outside the nodes.
  double outside_weight() const;
};

/// Rounds down to `bits` significant bits, so that products with moderate integers are exact.
double round_to_bits(double x, int bits);

/// Window reaching at least z sigma beyond the tilted bulk; empty when the likelihood ratio overflows in it or it holds
/// more than `max_size` nodes. `spacing` is rounded down to 20 bits.
std::optional<Nodes> make_nodes(const SampledPhase& phase, double theta, double spacing, double z,
                                std::size_t max_size = 1 << 16);

/// Sums of w (exp(i t d) - 1) for the frequencies t: re, im hold `m` entries; n is a multiple of 8, |t d| <= 2e9.
void characteristic_sums(const double* w, const double* d, std::size_t n, const double* t, std::size_t m, double* re,
                         double* im);

namespace kernel {
/// Columns gauss ... linear_error of `nodes`; returns the largest gauss + tilt and the largest tilt.
struct Largest {
  double exponent;
  double tilt;
};
Largest fill_columns(Nodes& nodes);
/// Weights from the exponents and the shift, and all sums.
void fill_weights(Nodes& nodes);
}  // namespace kernel

}  // namespace dpflash::accounting::inversion
