// g_i = fmaf(scale_i, z_i, g_i): the one way noise is added, on host and device alike.
#pragma once

#include <span>

namespace dpflash::noise::structure {

/// g has z.size() elements, scales too. With hardware FMA where there is one; the bits are the same.
void fused_add(float scale, std::span<const float> z, float* g);
void fused_add(const float* scales, std::span<const float> z, float* g);

}  // namespace dpflash::noise::structure
