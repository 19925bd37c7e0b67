// Integrals of a worst-case pair over the bins of a lattice of losses, and the two discrete laws made of them.
#pragma once

#include <cstdint>
#include <vector>

#include "loss/step.hpp"

namespace dpflash::accounting {

/// Losses ell_j = start + j * spacing, j = 0 .. bins. For bin j = (ell_j, ell_{j+1}] with middle m:
///   whole_rise[j] = int (dP - e^{ell_j} dQ),     whole_fall[j] = int (e^{ell_{j+1}} dQ - dP)   over the bin,
///   half_rise[j]  = the same as whole_rise over the left half (ell_j, m],
///   half_fall[j]  = int (e^{ell_{j+1}} dQ - dP) over the right half (m, ell_{j+1}];
/// all >= 0, in units of P-mass, each to a relative error error[j]. Outside: the left cell {L <= ell_0} and the right
/// cell {L > ell_bins}. Atoms at L = +inf belong to `infinity`, not to the right cell.
struct BinTable {
  double start = 0;
  double spacing = 0;
  std::vector<double> whole_rise, whole_fall, half_rise, half_fall, error;
  double left_p = 0, left_q = 0;    ///< masses of the left cell
  double left_fall = 0;             ///< int (e^{ell_0} dQ - dP) over the left cell
  double right_p = 0, right_q = 0;  ///< masses of the right cell
  double right_rise = 0;            ///< int (dP - e^{ell_bins} dQ) over the right cell
  double infinity = 0;              ///< P-mass where Q has none
  double q_only = 0;                ///< Q-mass where P has none
  double cell_error = 0;            ///< relative error of the cells' values
  /// Atoms exactly on a node, P-mass each; to the relative error `cell_error`. Not in the bins' integrals.
  struct NodeAtom {
    std::size_t node;
    double p;
  };
  std::vector<NodeAtom> node_atoms;

  [[nodiscard]] std::size_t bins() const { return whole_rise.size(); }
  void resize(std::size_t bins);
  /// Adds an atom of P-mass `p` at `loss`, which must lie inside the bins.
  void add_atom(double loss, double p, double relative_error);
  /// The same with the place given: `from_left` in [0, spacing] right of node `bin`.
  void add_atom_at(std::size_t bin, double from_left, double p, double relative_error);
  /// The table of the exchanged pair (Q, P): losses negated.
  [[nodiscard]] BinTable exchanged() const;
};

/// A measure on the lattice: mass[i] at loss start + i * spacing, and at +infinity.
struct LatticeLaw {
  double start = 0;
  double spacing = 0;
  std::vector<double> mass;
  double infinity = 0;
};

/// Connect-the-dots law: its hockey-stick curve lies above the pair's at every level (docs/math/discretisation.md).
LatticeLaw upper_law(const BinTable& table);

/// Half-bin tangent law: its hockey-stick curve lies below the pair's at every level (docs/math/discretisation.md).
LatticeLaw lower_law(const BinTable& table);

}  // namespace dpflash::accounting
