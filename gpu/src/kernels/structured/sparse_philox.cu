#include "kernels/structured/sparse_noise.cuh"

namespace dpflash::gpu {

template void gather_noisy_of<draw::Philox>(const Draws&, const Positions&, Element, const void*, float, bool, void*,
                                            StreamHandle);

}  // namespace dpflash::gpu
