#include "cuda/sm90/launch.cuh"
#include "draw/chacha.hpp"

namespace dpflash::attention::cuda {

template void launch_tile<256, draw::ChaCha<20>>(const Forward&, Launch&, gpu::StreamHandle);

}  // namespace dpflash::attention::cuda
