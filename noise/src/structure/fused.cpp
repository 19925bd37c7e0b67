#include "structure/fused.hpp"

#include <cstddef>

namespace dpflash::noise::structure {

namespace {

#if defined(__x86_64__) && defined(__GNUC__)
#define DPFLASH_FUSED_AVX2 1
__attribute__((target("avx2,fma"))) void one_avx2(float s, const float* z, float* g, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) g[i] = __builtin_fmaf(s, z[i], g[i]);
}
__attribute__((target("avx2,fma"))) void each_avx2(const float* s, const float* z, float* g, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) g[i] = __builtin_fmaf(s[i], z[i], g[i]);
}
bool has_fma() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

}  // namespace

void fused_add(float scale, std::span<const float> z, float* g) {
#if defined(DPFLASH_FUSED_AVX2)
  if (has_fma()) return one_avx2(scale, z.data(), g, z.size());
#endif
  for (std::size_t i = 0; i < z.size(); ++i) g[i] = __builtin_fmaf(scale, z[i], g[i]);
}

void fused_add(const float* scales, std::span<const float> z, float* g) {
#if defined(DPFLASH_FUSED_AVX2)
  if (has_fma()) return each_avx2(scales, z.data(), g, z.size());
#endif
  for (std::size_t i = 0; i < z.size(); ++i) g[i] = __builtin_fmaf(scales[i], z[i], g[i]);
}

}  // namespace dpflash::noise::structure
