// What the builders of bin tables share.
#pragma once

#include "lattice/bin_table.hpp"
#include "lattice/gaussian_bins.hpp"

namespace dpflash::accounting {

/// `bins` as a count of at least four; throws std::length_error above `max_bins`.
std::size_t checked_bins(double bins, std::size_t max_bins);

/// Whole bins from half-bins, by sums of positive terms.
void fill_from_halves(BinTable& table, const HalfBins& halves);

/// Standard normal upper tail.
double upper_tail(double x);

/// Gauss-Legendre with eight nodes on [0, 1]; node i and node 7 - i are mirror images.
struct RuleNode {
  double node;
  double weight;
};
inline constexpr RuleNode kRule8[8] = {
    {0.019855071751231884158, 0.050614268145188129576}, {0.1016667612931866302, 0.11119051722668723527},
    {0.23723379504183550709, 0.15685332293894364367},   {0.40828267875217509753, 0.18134189168918099148},
    {0.59171732124782490247, 0.18134189168918099148},   {0.76276620495816449291, 0.15685332293894364367},
    {0.8983332387068133698, 0.11119051722668723527},    {0.98014492824876811584, 0.050614268145188129576}};

/// Largest extent (docs/math/discretisation.md, section 5) for which the rule is exact to 8 u.
inline constexpr double kExtent8 = 0.25;

}  // namespace dpflash::accounting
