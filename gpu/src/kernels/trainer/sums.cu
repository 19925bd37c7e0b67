#include "kernels/sources.hpp"
#include "kernels/trainer/release.cuh"

namespace dpflash::gpu {

extern template void launch_release<draw::Philox>(const GradientTable&, std::uint64_t, const ReleaseRule&, const Draws&,
                                                  StreamHandle);
extern template void launch_release<draw::ChaCha<12>>(const GradientTable&, std::uint64_t, const ReleaseRule&,
                                                      const Draws&, StreamHandle);
extern template void launch_release<draw::ChaCha<20>>(const GradientTable&, std::uint64_t, const ReleaseRule&,
                                                      const Draws&, StreamHandle);

namespace {

constexpr std::uint32_t kSumTile = 512;

__global__ void __launch_bounds__(kSumTile / 4)
    add_clipped_kernel(const __grid_constant__ GradientTable table, std::uint32_t batch, const float* factors) {
  // Tiles as if draws started at every tensor's first parameter; the offsets do not matter here.
  const SumTile tile = tile_of<kSumTile>(table, gridDim.x - 1 - blockIdx.x, 0);
  const GradientTensor& tensor = table.tensors[tile.tensor];
  if (tile.begin >= static_cast<std::int64_t>(tensor.width)) return;
  const Columns columns = columns_of(tensor, tile.begin + 128 * (threadIdx.x / 32), threadIdx.x % 32);
  double sum[4] = {0, 0, 0, 0};
  gather_sums(table, tensor, columns, factors, batch, true, sum);
#pragma unroll
  for (std::uint32_t k = 0; k < 4; ++k)
    if (k < columns.count) tensor.sums[columns.first + k * columns.apart] = sum[k];
}

}  // namespace

void add_clipped(const GradientTable& table, std::uint64_t batch, const float* factors, StreamHandle stream) {
  if (table.sum_tiles[0] == 0 || batch == 0) return;
  add_clipped_kernel<<<static_cast<unsigned>(table.sum_tiles[0]), kSumTile / 4, 0, stream>>>(
      table, static_cast<std::uint32_t>(batch), factors);
  check_launch("add_clipped");
}

void release_gradients(const GradientTable& table, std::uint64_t batch, const float* factors, const float* scales,
                       double denominator, bool from_sums, const Draws& draws, StreamHandle stream) {
  with_source(draws.bits, [&](auto source) {
    launch_release<decltype(source)>(table, batch, {factors, scales, denominator, from_sums}, draws, stream);
  });
}

}  // namespace dpflash::gpu
