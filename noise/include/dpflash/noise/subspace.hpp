// Public subspaces: orthonormal bases, found from declared public data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dpflash::noise {

/// A rows x rank matrix, row-major, whose columns are meant to be orthonormal. It must be public: a function of the
/// private data here voids every guarantee.
struct Basis {
  std::size_t rows = 0;
  std::size_t rank = 0;
  std::vector<float> values = {};
};

/// How a randomised search for a subspace goes.
struct SubspaceSearch {
  std::size_t rank = 1;        ///< in [1, min(rows, samples)]
  std::size_t oversample = 8;  ///< further directions that are drawn and then given up
  unsigned power_steps = 2;    ///< passes with the data's square; in [0, 8]
  std::uint64_t seed = 1;      ///< of the random start; any value, the same seed gives the same basis
};

/// The leading left singular directions of declared *public* data (rows x samples, row-major, finite), by a randomised
/// range finder with power steps and re-orthonormalisation (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1),
/// with the singular values, largest first. Throws UnusableInput. Cost: (2 power_steps + 2) rows samples
/// (rank + oversample). Whether the subspace is good only affects the bias, never privacy.
struct Subspace {
  Basis basis;
  std::vector<double> singular_values;  ///< `rank` of them, each at most the true one up to rounding
  double total_energy = 0;              ///< sum of all squared singular values
};
Subspace find_subspace(std::span<const float> public_data, std::size_t rows, std::size_t samples,
                       const SubspaceSearch& search);

/// Certified bound of |U^T U - I|_F, rounding errors of its own computation included; +inf when an entry is not finite.
/// Throws UnusableInput unless rows >= rank >= 1 and values has rows * rank entries.
double distance_from_orthonormal(const Basis& basis);

}  // namespace dpflash::noise
