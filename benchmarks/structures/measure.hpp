// Squared errors of the library's structures on real records, at one certified epsilon.
#pragma once

#include <dpflash/noise/calibration.hpp>
#include <string>
#include <vector>

#include "records.hpp"

namespace structures {

struct Setting {
  double batch = 64;    ///< expected
  double headroom = 1;  ///< clip over the root mean square of public norms, in each structure's geometry
  int batches = 60;     ///< releases that are measured
};

struct Row {
  std::string structure;
  double expected = 0;        ///< choose's ratio to isotropic, from the declared moments
  double noise = 0;           ///< E |noise|^2 of the mechanism as built, over isotropic's
  double measured_noise = 0;  ///< mean |release - what would be released without noise|^2, over isotropic's
  double error = 0;           ///< mean |release - unclipped sum|^2: noise, what is dropped, what is clipped
  double error_ratio = 0;     ///< over isotropic's
  double of_sum = 0;          ///< over the mean |unclipped sum|^2, which is the error of releasing zeros
  double clipped = 0;         ///< share of private records that are clipped
};

/// Isotropic first.
std::vector<Row> measure(const Records& records, const Setting& setting,
                         const dpflash::noise::Calibration& calibration);

}  // namespace structures
