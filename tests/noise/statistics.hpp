// What statistical tests share: p-values and confidence bounds. Nothing here draws.
#pragma once

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

namespace dpflash::test {

/// Distribution functions, and their complements without cancellation.
inline double normal_below(double z) { return 0.5 * std::erfc(-z * std::numbers::sqrt2 / 2); }
inline double normal_above(double z) { return 0.5 * std::erfc(z * std::numbers::sqrt2 / 2); }
inline double laplace_below(double z) { return z < 0 ? 0.5 * std::exp(z) : 1 - 0.5 * std::exp(-z); }
inline double laplace_above(double z) { return laplace_below(-z); }
inline double normal_quantile(double p) { return boost::math::quantile(boost::math::normal_distribution<>(), p); }

/// Two-sided p-value of a standard normal statistic.
inline double two_sided(double z) { return std::erfc(std::abs(z) * std::numbers::sqrt2 / 2); }

/// Pearson's statistic against its limit law.
inline double chi_square_p_value(double statistic, double freedom) {
  return boost::math::gamma_q(freedom / 2, statistic / 2);
}

/// P(at least k) and P(at most k) for k successes of n, exactly.
inline double binomial_at_least(double k, double n, double p) {
  return k <= 0 ? 1 : boost::math::ibeta(k, n - k + 1, p);
}
inline double binomial_at_most(double k, double n, double p) {
  return k >= n ? 1 : boost::math::ibetac(k + 1, n - k, p);
}
/// Twice the smaller side.
inline double binomial_p_value(double k, double n, double p) {
  return std::min(1.0, 2 * std::min(binomial_at_least(k, n, p), binomial_at_most(k, n, p)));
}

/// Clopper and Pearson 1934: the probability lies below `lower`, or above `upper`, with probability at most `alpha`.
inline double clopper_pearson_lower(double k, double n, double alpha) {
  return k <= 0 ? 0 : boost::math::ibeta_inv(k, n - k + 1, alpha);
}
inline double clopper_pearson_upper(double k, double n, double alpha) {
  return k >= n ? 1 : boost::math::ibetac_inv(k + 1, n - k, alpha);
}

/// Kolmogorov's limit law at distance `d` of n draws, with Stephens' correction for finite n (1970; within 1 % of the
/// exact p-value for n >= 100 where it matters).
inline double kolmogorov_p_value(double d, double n) {
  const double root = std::sqrt(n);
  const double x = d * (root + 0.12 + 0.11 / root);
  if (x < 0.3) return 1;
  double sum = 0;
  for (int k = 1; k <= 40; ++k) sum += (k % 2 == 1 ? 2 : -2) * std::exp(-2.0 * k * k * x * x);
  return std::clamp(sum, 0.0, 1.0);
}

/// Limit law of Anderson and Darling's statistic sum_j chi^2_j / (j (j + 1)), by Zolotarev's tail sqrt(3)
/// erfc(sqrt(x)): the first term's tail times prod_{j >= 2} (1 - 2/(j (j + 1)))^(-1/2). Against the tables' 2.492 (5 %)
/// and 3.857 (1 %) it gives 4.4 % and 0.95 %, and it is exact in the limit.
inline double anderson_darling_p_value(double x) {
  return std::min(1.0, std::numbers::sqrt3 * std::erfc(std::sqrt(std::max(x, 0.0))));
}

struct FitStatistics {
  double kolmogorov = 0;        ///< sup |F_n - F|
  double anderson_darling = 0;  ///< A^2
};

/// Both statistics of draws against a law, given its two tails. Sorts the draws.
template <class Below, class Above>
FitStatistics fit_statistics(std::span<float> draws, const Below& below, const Above& above) {
  std::sort(draws.begin(), draws.end());
  const auto n = static_cast<double>(draws.size());
  FitStatistics fit;
  double sum = 0;
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const double z = static_cast<double>(draws[i]);
    const double p = below(z);
    const double q = above(z);
    const auto rank = static_cast<double>(i);
    fit.kolmogorov = std::max({fit.kolmogorov, (rank + 1) / n - p, p - rank / n});
    sum += (2 * rank + 1) * std::log(p) + (2 * (n - rank) - 1) * std::log(q);
  }
  fit.anderson_darling = -n - sum / n;
  return fit;
}

/// Pearson's statistic of a table of counts against equal expectations.
inline double equal_cells_statistic(std::span<const std::uint32_t> counts, double expected) {
  double statistic = 0;
  for (const std::uint32_t count : counts) {
    const double off = static_cast<double>(count) - expected;
    statistic += off * off / expected;
  }
  return statistic;
}

/// The least epsilon for which `hits` of `trials` under one data set and `false_hits` of as many under its neighbour
/// are possible at `delta`, wrong with probability at most 2 alpha: P(S) <= e^epsilon Q(S) + delta for every event S
/// (Jagielski, Ullman, Oprea 2020; Nasr et al. 2021). 0 where the counts say nothing.
inline double epsilon_lower_bound(double hits, double false_hits, double trials, double delta, double alpha) {
  const double p = clopper_pearson_lower(hits, trials, alpha) - delta;
  const double q = clopper_pearson_upper(false_hits, trials, alpha);
  return p <= q ? 0 : std::log(p / q);
}

}  // namespace dpflash::test
