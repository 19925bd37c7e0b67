#include "cuda/sm90/launch.cuh"
#include "draw/philox.hpp"

namespace dpflash::attention::cuda {

template void launch_tile<64, draw::Philox>(const Forward&, Launch&, gpu::StreamHandle);

}  // namespace dpflash::attention::cuda
