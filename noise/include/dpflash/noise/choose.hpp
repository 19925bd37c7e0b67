// Which structure has the least expected squared error, given what is publicly known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dpflash::noise {

/// Second moments that are *declared public*: known without the private data, or from public data. Everything is per
/// release; empty parts are not ranked. Entries finite and not negative.
struct PublicKnowledge {
  /// E x_i^2 of one record's contribution before clipping, per coordinate; needed.
  std::vector<double> record;
  /// E s_i^2 of the sum over the batch, per coordinate; needed for structures that drop something. Between batch *
  /// record (independent, centred) and batch^2 * record (all records alike).
  std::vector<double> sum;
  /// Sizes of consecutive blocks, adding up to the dimension.
  std::vector<std::size_t> blocks;
  /// Kept coordinates, one byte each, 0 or 1.
  std::vector<std::uint8_t> mask;
  /// Energies of the sum along the directions of a public orthonormal basis, any order; at most `sum`'s total. The
  /// best number of leading ones is chosen.
  std::vector<double> directions;
  /// Eigenvalues of the row and column covariance of a record's contribution, whose covariance is their Kronecker
  /// product; their sizes multiply to the dimension, their sums to `record`'s total (to a relative 1e-6).
  std::vector<double> row_spectrum;
  std::vector<double> column_spectrum;
};

/// One structure's expected squared error of one release.
struct Ranked {
  std::string structure;      ///< "isotropic", "weighted", "block-diagonal", "sparse", "low-rank", "matrix-variate"
  double noise_energy = 0;    ///< E |noise|^2
  double bias = 0;            ///< expected energy of what is dropped
  double total = 0;           ///< noise_energy + bias
  double ratio = 0;           ///< total over isotropic's total; below 1 is better
  std::size_t rank = 0;       ///< low-rank: directions kept
  std::vector<double> clips;  ///< clipping norm; one a block for block-diagonal
  std::string note;           ///< what the number leaves out
};

/// The structures that `knowledge` speaks of, least total first; ties keep isotropic in front.
///
/// What is held equal: the calibration (so the certified epsilon), the knowledge, and the *headroom*: each structure's
/// clip is `headroom` times the root mean square of a record's norm in that structure's own geometry (per block for
/// blocks), so that none buys less noise by cutting more of the signal in mean square. How much clipping itself
/// distorts depends on more than second moments and is not in the table. headroom in [1e-3, 1e3].
/// Formulas and proofs: docs/math/structured-noise.md, section 10. Throws UnusableInput. Cost: d log d.
std::vector<Ranked> choose(const PublicKnowledge& knowledge, double headroom, const Calibration& calibration);

/// The table as text, one line a structure, columns aligned.
std::string to_text(const std::vector<Ranked>& table);

}  // namespace dpflash::noise
