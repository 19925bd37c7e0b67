#include "cuda/sm80/block.cuh"

namespace dpflash::attention::cuda::sm80 {

template void launch_attention<__half, 160>(Launch&, gpu::StreamHandle);
template void launch_attention<__half, 192>(Launch&, gpu::StreamHandle);

}  // namespace dpflash::attention::cuda::sm80
