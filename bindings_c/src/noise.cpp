#include "noise.hpp"

#include <dpflash/dpflash.h>

using namespace dpflash::c;
using dpflash::accounting::UnusableInput;
namespace noise = dpflash::noise;

int dpf_clip(const dpf_calibration* calibration, double clip, float* contribution, size_t count) {
  return guard([&] {
    const auto object = held(calibration, "calibration");
    require(contribution, "contribution");
    const std::span<float> record{contribution, count};
    if (object->value.family() == noise::Family::laplace)
      noise::Laplace(count, clip, object->value).clip(record);
    else
      noise::Isotropic(count, clip, object->value).clip(record);
  });
}

int dpf_privatise(const dpf_calibration* calibration, double clip, int32_t element, void* sum, size_t count,
                  const dpf_draws* draws) {
  return guard([&] {
    const auto object = held(calibration, "calibration");
    const dpf_draws from = read_draws(draws);
    if (from.steps != nullptr) throw UnusableInput("draws.steps", "a pointer", "NULL on the host");
    const auto source = held(from.source, "draws.source");
    const noise::Position at{.stream = from.stream, .step = from.step};
    with_mechanism(
        object->value, clip, element, count,
        [&]<class T>(const noise::Isotropic& mechanism, T) {
          const std::span<T> elements{elements_at<T>(sum, count), count};
          if constexpr (std::is_same_v<T, float>)
            mechanism.privatise(elements, source->value, at);
          else
            noise::privatise(mechanism, elements, source->value, at);
        },
        [&](const noise::Laplace& mechanism) {
          mechanism.privatise({elements_at<float>(sum, count), count}, source->value, at);
        });
  });
}
