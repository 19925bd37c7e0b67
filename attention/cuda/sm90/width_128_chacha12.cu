#include "cuda/sm90/launch.cuh"
#include "draw/chacha.hpp"

namespace dpflash::attention::cuda {

template void launch_tile<128, draw::ChaCha<12>>(const Forward&, Launch&, gpu::StreamHandle);

}  // namespace dpflash::attention::cuda
