// Brackets of rare large losses against truth. Two steps: mpmath, 40 digits, the integral of the one-step closed form
// over the first step's output (split at its kink). More steps: convolution by sums of positive terms (no transform) of
// one step split onto a lattice with both masses kept, three spacings and Richardson extrapolation; `tolerance` is that
// extrapolation's.
#include <doctest/doctest.h>

#include <dpflash/accounting/accountant.hpp>

using namespace dpflash::accounting;

namespace {

struct Case {
  double sigma, rate;
  std::int64_t steps;
  double epsilon, delta, tolerance;
};

constexpr Case kCases[] = {
    {0.8, 0.01, 2, 1.5, 1.0867311144821249943e-7, 1e-12},
    {0.5, 1e-4, 2, 6, 9.0400252418489650868e-16, 1e-12},
    {0.3, 1e-9, 2, 20, 1.2013943989136034499e-35, 1e-12},
    {1.3, 1e-3, 2, 0.7, 5.6306066518596160825e-22, 1e-12},
    {1.0, 1e-5, 2, 0.01, 1.84678196302301512e-16, 1e-12},
    {0.6, 1e-3, 2, 3, 8.87063444000017672e-11, 1e-12},
    {4.0, 1e-4, 2, 1e-4, 1.73575314310846863e-7, 1e-12},
    {0.25, 1e-12, 2, 5, 2.86714060143554566e-22, 1e-12},
    {1.0, 0.05, 2, 2.5, 8.48235742467335189e-9, 1e-12},
    {1.0, 1e-4, 100, 2, 1.84507e-29, 5e-5},
    {0.6, 1e-5, 10000, 5, 9.0423e-22, 2e-4},
    {0.4, 1e-8, 1000000, 8, 1.2328189e-23, 2e-6},
    {0.5, 1e-3, 50, 8, 7.1086e-13, 1e-4},
    {3.0, 1e-3, 300, 0.05, 3.39127e-18, 2e-5},
};

}  // namespace

TEST_CASE("brackets of rare large losses contain the truth") {
  for (const Case& c : kCases) {
    CAPTURE(c.sigma);
    CAPTURE(c.rate);
    CAPTURE(c.steps);
    const Plan plan = dpsgd_plan(c.sigma, c.rate, c.steps, Adjacency::remove_one);
    for (const double width : {1e-2, 1e-3}) {
      CAPTURE(width);
      const Options options{Engine::lattice, RelativeWidth(width)};
      const Bracket delta = certified_delta(plan, Epsilon(c.epsilon), options).bracket;
      CHECK(delta.lower <= c.delta * (1 + c.tolerance));
      CHECK(delta.upper >= c.delta * (1 - c.tolerance));
      CHECK(delta.upper <= 1.05 * delta.lower);
      CHECK(certified_epsilon(plan, Delta(c.delta * (1 + c.tolerance)), options).bracket.lower <= c.epsilon);
      CHECK(certified_epsilon(plan, Delta(c.delta * (1 - c.tolerance)), options).bracket.upper >= c.epsilon);
    }
  }
}
