// What a launch reads of a DeviceNoise; for tests, noise of any scale.
#pragma once

#include <dpflash/attention/forward.hpp>

namespace dpflash::attention {

struct NoiseAccess {
  static std::span<const float> per_head(const DeviceNoise& noise) { return noise.per_head_; }
  static const float* table(const DeviceNoise& noise) { return noise.rows_ == 0 ? nullptr : noise.table_.data(); }
  /// Throws UnusableInput unless the noise is stated, or its table was made for what is to be run.
  static void check(const DeviceNoise& noise, const ForwardOptions& options);
  /// One number a head, 0 included: no privacy.
  static DeviceNoise unchecked(std::span<const float> per_head) {
    DeviceNoise noise;
    noise.heads_ = static_cast<std::int32_t>(per_head.size());
    noise.per_head_.assign(per_head.begin(), per_head.end());
    return noise;
  }
};

}  // namespace dpflash::attention
