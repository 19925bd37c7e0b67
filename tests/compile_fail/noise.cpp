// Scales without a certificate must not compile: CASE chooses one mistake, 0 none.
#include <dpflash/noise/mechanisms.hpp>

using namespace dpflash::accounting;
using namespace dpflash::noise;

double good(const dpflash::noise::Calibration& calibration) { return Isotropic(3, 1.0, calibration).mu(); }

void mistake() {
#if CASE == 1
  (void)Isotropic(3, 1.0, 1.1);
#elif CASE == 2
  (void)dpflash::noise::Calibration(1.1);
#elif CASE == 3
  const dpflash::noise::Calibration calibration = NoiseMultiplier(1.1);
#elif CASE == 4
  (void)dpflash::noise::Calibration::gaussian_for(Delta(1e-5), Epsilon(1));
#elif CASE == 5
  (void)LowRank(Basis{}, 1, 1.0, NoiseMultiplier(1.1));
#elif CASE == 6
  (void)Sparse(Mask::every_kth(4, 2), 1.0, 0.5f);
#endif
}
