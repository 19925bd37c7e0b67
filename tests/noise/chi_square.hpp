// Goodness of fit of integer draws.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace dpflash::test {

/// Pearson's test against the probabilities `pmf`, cells of fewer than 10 expected draws pooled. False with probability
/// about 1e-6 when the law is right (Wilson and Hilferty's quantile at 4.75 standard deviations).
inline bool chi_square_fits(const std::vector<std::int64_t>& draws, const std::function<double(std::int64_t)>& pmf) {
  std::map<std::int64_t, double> seen;
  for (const std::int64_t k : draws) seen[k] += 1;
  const auto n = static_cast<double>(draws.size());
  double statistic = 0;
  double cells = 0;
  double pooled_seen = n;
  double pooled_expected = n;
  for (std::int64_t k = seen.begin()->first; k <= seen.rbegin()->first; ++k) {
    const double expected = n * pmf(k);
    if (expected < 10) continue;
    const auto found = seen.find(k);
    const double count = found == seen.end() ? 0 : found->second;
    statistic += (count - expected) * (count - expected) / expected;
    cells += 1;
    pooled_seen -= count;
    pooled_expected -= expected;
  }
  if (pooled_expected < 1) {
    // Too rare for the approximation: Poisson counts of mean below 1 exceed 12 with probability below 1e-9.
    if (pooled_seen > 12) return false;
  } else {
    statistic += (pooled_seen - pooled_expected) * (pooled_seen - pooled_expected) / pooled_expected;
    cells += 1;
  }
  const double freedom = cells - 1;
  if (freedom < 1) return true;
  const double c = 2 / (9 * freedom);
  const double limit = freedom * std::pow(1 - c + 4.75 * std::sqrt(c), 3);
  return statistic <= limit;
}

/// Whether the draws' mean is near 0 and their mean square near `variance`; `kurtosis_less_one` is the law's fourth
/// moment over the squared variance, less 1, or more. 6 standard deviations.
inline bool variance_fits(const std::vector<std::int64_t>& draws, double variance, double kurtosis_less_one) {
  const auto n = static_cast<double>(draws.size());
  double sum = 0;
  double squares = 0;
  for (const std::int64_t k : draws) {
    sum += static_cast<double>(k);
    squares += static_cast<double>(k) * static_cast<double>(k);
  }
  return std::abs(sum / n) <= 6 * std::sqrt(variance / n) &&
         std::abs(squares / n / variance - 1) <= 6 * std::sqrt(kurtosis_less_one / n);
}

}  // namespace dpflash::test
