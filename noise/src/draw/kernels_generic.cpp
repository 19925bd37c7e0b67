#include "draw/chacha.hpp"
#include "draw/normal.hpp"
#include "draw/philox.hpp"
#include "kernels.hpp"

namespace dpflash::noise::kernels::generic {
#include "kernels.inl"
}  // namespace dpflash::noise::kernels::generic
