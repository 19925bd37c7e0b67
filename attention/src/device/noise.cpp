#include <cmath>

#include "dpflash/attention/forward.hpp"
#include "reference/problem.hpp"

namespace dpflash::attention {

namespace {

void check_deviations(std::span<const float> sigma) {
  for (std::size_t i = 0; i < sigma.size(); ++i)
    if (!(sigma[i] >= 0x1p-126f) || !std::isfinite(sigma[i]))
      throw accounting::UnusableInput("sigma[" + std::to_string(i) + "]", text(static_cast<double>(sigma[i])),
                                      "a normal float above 0");
}

}  // namespace

DeviceNoise DeviceNoise::stated(std::span<const float> per_head) {
  check_deviations(per_head);
  DeviceNoise noise;
  noise.heads_ = static_cast<std::int32_t>(per_head.size());
  noise.per_head_.assign(per_head.begin(), per_head.end());
  return noise;
}

DeviceNoise DeviceNoise::stated(std::span<const float> table, std::int32_t heads, gpu::StreamHandle stream) {
  check_deviations(table);
  if (heads < 1 || table.empty() || table.size() % static_cast<std::size_t>(heads) != 0)
    throw accounting::UnusableInput("sigma.size", std::to_string(table.size()),
                                    "a multiple of the " + std::to_string(heads) + " heads, above 0");
  DeviceNoise noise;
  noise.heads_ = heads;
  noise.rows_ = static_cast<std::int64_t>(table.size()) / heads;
  noise.table_ = gpu::upload<float>(table, stream);
  gpu::synchronise(stream);
  return noise;
}

}  // namespace dpflash::attention
