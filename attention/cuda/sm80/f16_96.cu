#include "cuda/sm80/block.cuh"

namespace dpflash::attention::cuda::sm80 {

template void launch_attention<__half, 96>(Launch&, gpu::StreamHandle);
template void launch_attention<__half, 128>(Launch&, gpu::StreamHandle);

}  // namespace dpflash::attention::cuda::sm80
