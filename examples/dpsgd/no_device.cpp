#include <stdexcept>

#include "device_trainer.hpp"

namespace dpsgd {

std::vector<Progress> train_on_device(const Setup&, const Digits&, dpflash::noise::NoiseSource&,
                                      const std::optional<dpflash::noise::Calibration>&) {
  throw std::runtime_error("--device: cuda is not allowed; this build has no CUDA parts, use cpu");
}

}  // namespace dpsgd
