#include "discrete/samplers.hpp"

#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <stdexcept>
#include <string>

namespace dpflash::noise::discrete {

namespace {

constexpr std::uint64_t kMostNumerator = std::uint64_t{1} << 41;
constexpr std::uint64_t kMostDenominator = std::uint64_t{1} << 51;

/// floor(sqrt(q)), q <= 2^41.
std::uint64_t root_of(std::uint64_t q) {
  auto r = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(q)));
  while (r * r > q) --r;
  while ((r + 1) * (r + 1) <= q) ++r;
  return r;
}

/// Whether a Laplace draw of modulus m is kept: true with probability exp(-(m - sigma^2/t)^2 / (2 sigma^2)).
bool keep(WordStream& words, std::uint64_t m, std::uint64_t t, const Fraction& sigma_squared) {
  const Wide n = sigma_squared.numerator;
  const Wide d = sigma_squared.denominator;
  const Wide scaled = Wide{m} * t * d;
  const Wide distance = scaled > n ? scaled - n : n - scaled;
  const Wide unit = 2 * n * d * t * t;
  if (distance < (Wide{1} << 63)) return bernoulli_exp(words, distance * distance, unit);
  // The square may overflow; the exponent is at least 2^33 here, and a failure is found long before it matters.
  for (std::uint64_t j = 0; j < (std::uint64_t{1} << 32); ++j)
    if (!bernoulli_exp_small(words, 1, 1)) return false;
  throw std::runtime_error("a discrete Gaussian draw left the sampler's range");
}

}  // namespace

bool bernoulli_exp_small(WordStream& words, Wide a, Wide b) {
  // Bernoulli(a / (b j)) as two independent draws: b j might overflow.
  std::uint64_t j = 1;
  while (words.below(j) == 0 && words.below(b) < a) ++j;
  return j % 2 == 1;
}

bool bernoulli_exp(WordStream& words, Wide a, Wide b) {
  for (Wide whole = a / b; whole != 0; --whole)
    if (!bernoulli_exp_small(words, 1, 1)) return false;
  return bernoulli_exp_small(words, a % b, b);
}

std::int64_t laplace(WordStream& words, const Fraction& scale) {
  const Wide t = scale.numerator;
  for (;;) {
    const Wide u = words.below(t);
    if (!bernoulli_exp_small(words, u, t)) continue;
    std::uint64_t v = 0;
    while (bernoulli_exp_small(words, 1, 1)) ++v;
    const Wide modulus = (u + t * v) / scale.denominator;
    const bool negative = (words.next() & 1u) != 0;
    if (negative && modulus == 0) continue;
    // v < 2^20, the words of an output being what they are, and t <= 2^41: no overflow.
    const auto k = static_cast<std::int64_t>(modulus);
    return negative ? -k : k;
  }
}

std::int64_t gaussian(WordStream& words, const Fraction& sigma_squared) {
  const std::uint64_t t = root_of(sigma_squared.numerator / sigma_squared.denominator) + 1;
  for (;;) {
    const std::int64_t y = laplace(words, {t, 1});
    const auto modulus = static_cast<std::uint64_t>(y < 0 ? -y : y);
    if (keep(words, modulus, t, sigma_squared)) return y;
  }
}

void check(const Fraction& fraction, const char* field) {
  if (fraction.numerator < 1 || fraction.numerator > kMostNumerator || fraction.denominator < 1 ||
      fraction.denominator > kMostDenominator)
    throw accounting::UnusableInput(field,
                                    std::to_string(fraction.numerator) + "/" + std::to_string(fraction.denominator),
                                    "a numerator in [1, 2^41] over a denominator in [1, 2^51]");
}

}  // namespace dpflash::noise::discrete
