// Constructions that are not private, with the attack that breaks each: what their smaller noise is worth.
#pragma once

#include <string>
#include <vector>

#include "records.hpp"

namespace structures {

struct Broken {
  std::string construction;
  double noise = 0;     ///< E |noise|^2 over isotropic's at the same scale, measured
  double claimed = 0;   ///< epsilon of the isotropic mechanism of that scale
  double at_least = 0;  ///< empirical lower bound at the same delta, confidence 1 - 2e-9
  double errors = 0;    ///< wrong verdicts of the attacker
  int trials = 0;       ///< with and without the record each
};

/// Sums of private records with and without one of them, unclipped but for a common norm; `multiplier` times that norm
/// is the scale.
std::vector<Broken> break_them(const Records& records, double multiplier, double delta, int trials);

}  // namespace structures
