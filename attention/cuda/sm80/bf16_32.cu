#include "cuda/sm80/block.cuh"

namespace dpflash::attention::cuda::sm80 {

template void launch_attention<__nv_bfloat16, 32>(Launch&, gpu::StreamHandle);
template void launch_attention<__nv_bfloat16, 64>(Launch&, gpu::StreamHandle);

}  // namespace dpflash::attention::cuda::sm80
