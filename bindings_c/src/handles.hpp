// What the opaque handles hold.
#pragma once

#include <dpflash/noise/calibration.hpp>

struct dpf_calibration {
  dpflash::noise::Calibration value;
};
