#include "special/simd_math.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace simd = dpflash::accounting::simd;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

using Function = void (*)(double*, std::size_t);
using Reference = long double (*)(long double);

/// Largest relative error over `points`, in units of 2^-53; results below the normal range count 2^-1074 as free.
double worst_error(const std::vector<double>& points, Function f, Reference reference) {
  std::vector<double> value = points;
  f(value.data(), value.size());
  double worst = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const long double exact = reference(static_cast<long double>(points[i]));
    if (exact == 0 && value[i] == 0) continue;
    long double error = std::fabs(static_cast<long double>(value[i]) - exact);
    if (std::fabs(exact) < 0x1p-1022L) error = std::fmax(0.0L, error - 0x1p-1074L);
    const double relative = static_cast<double>(error / std::fabs(exact) * 0x1p53L);
    if (!(relative <= worst)) worst = relative;
  }
  return worst;
}

std::vector<double> uniform(double low, double high, std::size_t n, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<double> draw(low, high);
  std::vector<double> x(n);
  for (double& v : x) v = draw(generator);
  return x;
}

/// `sign` times powers of two times a random mantissa, exponents uniform.
std::vector<double> spread(double sign, int low, int high, std::size_t n, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::uniform_int_distribution<int> exponent(low, high);
  std::uniform_real_distribution<double> mantissa(1, 2);
  std::vector<double> x(n);
  for (double& v : x) v = sign * std::ldexp(mantissa(generator), exponent(generator));
  return x;
}

double one(Function f, double x) {
  f(&x, 1);
  return x;
}

}  // namespace

TEST_CASE("exp stays within its stated error from underflow to overflow") {
  CHECK(worst_error(uniform(-745, 709.7, 400000, 1), simd::exp_inplace, std::exp) <= simd::kExpError);
  CHECK(worst_error(uniform(-2, 2, 400000, 2), simd::exp_inplace, std::exp) <= simd::kExpError);
  CHECK(worst_error(spread(1, -1074, 8, 100000, 3), simd::exp_inplace, std::exp) <= simd::kExpError);
  CHECK(worst_error(spread(-1, -1074, 8, 100000, 4), simd::exp_inplace, std::exp) <= simd::kExpError);
  CHECK(one(simd::exp_inplace, kInf) == kInf);
  CHECK(one(simd::exp_inplace, 1e300) == kInf);
  CHECK(one(simd::exp_inplace, 709.8) == kInf);
  CHECK(one(simd::exp_inplace, -kInf) == 0);
  CHECK(one(simd::exp_inplace, -1e300) == 0);
  CHECK(std::isnan(one(simd::exp_inplace, std::nan(""))));
}

TEST_CASE("expm1 keeps its relative error around zero") {
  CHECK(worst_error(uniform(-50, 709.7, 400000, 1), simd::expm1_inplace, std::expm1) <= simd::kExpm1Error);
  CHECK(worst_error(uniform(-2, 2, 800000, 2), simd::expm1_inplace, std::expm1) <= simd::kExpm1Error);
  CHECK(worst_error(spread(1, -1074, 8, 100000, 3), simd::expm1_inplace, std::expm1) <= simd::kExpm1Error);
  CHECK(worst_error(spread(-1, -1074, 8, 100000, 4), simd::expm1_inplace, std::expm1) <= simd::kExpm1Error);
  CHECK(one(simd::expm1_inplace, kInf) == kInf);
  CHECK(one(simd::expm1_inplace, -kInf) == -1);
  CHECK(one(simd::expm1_inplace, 0.0) == 0);
  CHECK(std::isnan(one(simd::expm1_inplace, std::nan(""))));
}

TEST_CASE("log is accurate next to one and for subnormal arguments") {
  CHECK(worst_error(uniform(0.5, 2, 800000, 1), simd::log_inplace, std::log) <= simd::kLogError);
  CHECK(worst_error(spread(1, -1074, 1023, 400000, 2), simd::log_inplace, std::log) <= simd::kLogError);
  CHECK(one(simd::log_inplace, 1.0) == 0);
  CHECK(one(simd::log_inplace, 0.0) == -kInf);
  CHECK(one(simd::log_inplace, kInf) == kInf);
  CHECK(std::isnan(one(simd::log_inplace, -1.0)));
  CHECK(std::isnan(one(simd::log_inplace, std::nan(""))));
}

TEST_CASE("log1p keeps its relative error around zero") {
  CHECK(worst_error(uniform(-1, 3, 800000, 1), simd::log1p_inplace, std::log1p) <= simd::kLog1pError);
  CHECK(worst_error(spread(1, -1074, 1023, 400000, 2), simd::log1p_inplace, std::log1p) <= simd::kLog1pError);
  CHECK(worst_error(spread(-1, -1074, -2, 400000, 3), simd::log1p_inplace, std::log1p) <= simd::kLog1pError);
  CHECK(one(simd::log1p_inplace, -1.0) == -kInf);
  CHECK(one(simd::log1p_inplace, kInf) == kInf);
  CHECK(std::isnan(one(simd::log1p_inplace, -1.5)));
}

TEST_CASE("sine and cosine have a small absolute error up to the end of their range and are NaN beyond") {
  std::vector<double> x = uniform(-10, 10, 200000, 1);
  for (const auto& more :
       {uniform(-1e9, 1e9, 400000, 2), spread(1, -1074, 28, 200000, 3), spread(-1, -60, 28, 200000, 4)})
    x.insert(x.end(), more.begin(), more.end());
  // Multiples of pi/2, where cancellation in the reduction is worst.
  for (int i = 1; i < 600000000; i += 3001) x.push_back(static_cast<double>(1.57079632679489661923132L * i));
  std::vector<double> s(x.size()), c(x.size());
  simd::sincos_array(x.data(), x.size(), s.data(), c.data());
  long double worst = 0, relative = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto exact = static_cast<long double>(x[i]);
    if (std::fabs(x[i]) > 0x1p-1000)
      relative = std::fmax(relative, std::fabs((static_cast<long double>(s[i]) - std::sin(exact)) / exact));
    worst = std::fmax(worst, std::fabs(static_cast<long double>(s[i]) - std::sin(exact)));
    worst = std::fmax(worst, std::fabs(static_cast<long double>(c[i]) - std::cos(exact)));
  }
  CHECK(static_cast<double>(worst * 0x1p53L) <= simd::kSinCosError);
  CHECK(static_cast<double>(relative * 0x1p53L) <= simd::kSineRelativeError);
  for (double bad : {1.01e9, -1e300, kInf, std::nan("")}) {
    double sine = 0, cosine = 0;
    simd::sincos_array(&bad, 1, &sine, &cosine);
    CHECK(std::isnan(sine));
    CHECK(std::isnan(cosine));
  }
}

TEST_CASE("array functions treat every length alike") {
  const std::vector<double> x = uniform(-3, 3, 37, 5);
  for (std::size_t n = 0; n <= x.size(); ++n) {
    std::vector<double> block(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n));
    simd::exp_inplace(block.data(), n);
    for (std::size_t i = 0; i < n; ++i) CHECK(block[i] == one(simd::exp_inplace, x[i]));
  }
}

TEST_CASE("exponential sums and scalings meet their error bounds") {
  for (const std::size_t n : {1U, 7U, 8U, 1000U, 100003U}) {
    const std::vector<double> a = uniform(-1, 1, n, 7);
    const double c0 = 0.37, c1 = -20.0 / static_cast<double>(n);
    std::vector<double> scaled = a;
    simd::scale_exp(scaled.data(), n, c0, c1);
    long double exact = 0, absolute = 0;
    double worst = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const long double term = a[i] * std::exp(static_cast<long double>(c0) + static_cast<long double>(i) * c1);
      exact += term;
      absolute += std::fabs(term);
      worst = std::fmax(worst, static_cast<double>(std::fabs((scaled[i] - term) / term)));
    }
    const double bound = simd::kExpError + 1 + 20 + 21;
    CHECK(worst <= bound * simd::kUnit);
    const double sum_bound = (static_cast<double>(n) / 8 + 8 + 41) * simd::kUnit * static_cast<double>(absolute);
    CHECK(std::fabs(simd::sum_exp(a.data(), n, c0, c1) - static_cast<double>(exact)) <= sum_bound);
  }
}
