// The same training with data, gradients, clipping, noise and updates on a CUDA device.
#pragma once

#include "trainer.hpp"

namespace dpsgd {

/// As train(); throws std::runtime_error when there is no device, or this build has no CUDA parts.
std::vector<Progress> train_on_device(const Setup& setup, const Digits& digits, dpflash::noise::NoiseSource& source,
                                      const std::optional<dpflash::noise::Calibration>& calibration);

}  // namespace dpsgd
