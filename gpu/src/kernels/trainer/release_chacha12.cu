#include "kernels/trainer/release.cuh"

namespace dpflash::gpu {

template void launch_release<draw::ChaCha<12>>(const GradientTable&, std::uint64_t, const ReleaseRule&, const Draws&,
                                               StreamHandle);

}  // namespace dpflash::gpu
