// What the factories share: the one place where a Calibration is put together.
#pragma once

#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <utility>

#include "dpflash/noise/calibration.hpp"

namespace dpflash::noise {

/// Width asked of a certificate's bracket.
inline constexpr double kCertificateWidth = 1e-6;

struct CalibrationMaker {
  static Calibration make(Family family, double noise, accounting::Plan plan, std::size_t event,
                          accounting::Delta delta, const accounting::Answer& answer) {
    return {family, noise, std::move(plan), event, delta, answer};
  }
};

/// A plan of one event: `mechanism`, released as `releases` says.
inline accounting::Plan plan_of(const accounting::Mechanism& mechanism, const Releases& releases) {
  accounting::Event event{.mechanism = mechanism, .count = releases.count};
  if (releases.rate.value() < 1) event.sampling = accounting::PoissonSampling{releases.rate.value()};
  return {.adjacency = releases.adjacency, .events = {event}};
}

}  // namespace dpflash::noise
