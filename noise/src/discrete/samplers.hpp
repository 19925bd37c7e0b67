// Exact samplers (Canonne, Kamath, Steinke 2020), integers throughout. Ranges: docs/math/discrete-noise.md.
#pragma once

#include <cstdint>

#include "discrete/words.hpp"
#include "dpflash/noise/discrete.hpp"

namespace dpflash::noise::discrete {

/// True with probability exp(-a / b), a <= b: algorithm 1 for gamma <= 1.
bool bernoulli_exp_small(WordStream& words, Wide a, Wide b);

/// True with probability exp(-a / b), b >= 1: algorithm 1.
bool bernoulli_exp(WordStream& words, Wide a, Wide b);

/// P(k) ~ exp(-|k| / scale): algorithm 2.
std::int64_t laplace(WordStream& words, const Fraction& scale);

/// P(k) ~ exp(-k^2 / (2 sigma_squared)): algorithm 3.
std::int64_t gaussian(WordStream& words, const Fraction& sigma_squared);

/// Throws UnusableInput when the fraction is out of the samplers' range.
void check(const Fraction& fraction, const char* field);

/// The least fraction n / 2^k, n in [2^30, 2^31] and k >= 0 (k = 0 with a larger n if there is none), that is at least
/// (value * factor)^power, power 1 or 2. Throws UnusableInput naming `field` when value * factor is not in [2^-10,
/// 2^20].
Fraction fraction_above(double value, std::int64_t factor, int power, const char* field);

}  // namespace dpflash::noise::discrete
