#include <cstring>

#include "draw/chacha.hpp"
#include "draw/grid_normal.hpp"
#include "draw/laplace.hpp"
#include "draw/normal.hpp"
#include "draw/philox.hpp"
#include "kernels.hpp"

namespace dpflash::noise::kernels::avx2 {
#include "kernels.inl"
}  // namespace dpflash::noise::kernels::avx2
