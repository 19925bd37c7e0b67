// Mistakes that must not compile: CASE chooses one, 0 none.
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/calibrate.hpp>

using namespace dpflash::accounting;

Answer good(const Plan& plan) { return certified_epsilon(plan, Delta(1e-5)); }

void mistake(const Plan& plan) {
  (void)plan;
#if CASE == 1
  (void)certified_epsilon(plan, Epsilon(1));
#elif CASE == 2
  (void)certified_epsilon(plan, 1e-5);
#elif CASE == 3
  (void)certified_delta(plan, 1.0);
#elif CASE == 4
  (void)Epsilon(Delta(1e-5));
#elif CASE == 5
  const double value = Delta(1e-5);
  (void)value;
#elif CASE == 6
  const NoiseMultiplier noise = SamplingRate(0.5);
  (void)noise;
#elif CASE == 7
  const Options options{.relative_width = 1e-4};
  (void)options;
#elif CASE == 8
  (void)calibrate(plan, 0, Unknown::steps, Delta(1e-5), Epsilon(1));
#endif
}
