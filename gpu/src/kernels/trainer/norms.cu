// Squared norms in the fixed order of noise/clipping.hpp: chunks of 1024 numbers in 32 lanes, chunks of chunks
// likewise.
#include <algorithm>

#include "clip/clip.hpp"
#include "dpflash/gpu/error.hpp"
#include "kernels/trainer.hpp"

namespace dpflash::gpu {

namespace {

using clip::kChunk;
using clip::kLanes;

constexpr unsigned kEveryLane = 0xffffffffu;
/// A warp takes a tile of four chunks, a block four neighbouring tiles of one example.
constexpr std::uint32_t kChunksATile = 4;
constexpr std::uint32_t kTile = kChunksATile * kChunk;
constexpr std::uint32_t kTilesABlock = 4;

/// The tensor whose tiles, chunks and so on hold number i: the last that starts at or before it and is not empty.
template <class First>
__device__ __forceinline__ std::uint32_t tensor_of(std::uint32_t count, std::uint64_t i, First first) {
  std::uint32_t low = 0;
  std::uint32_t high = count;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (first(middle) <= i)
      low = middle;
    else
      high = middle;
  }
  return low;
}

__device__ __forceinline__ float4 load_once(const float* p) {
  float4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "l"(p));
  return v;
}

__device__ __forceinline__ void add_square(double& sum, float x) {
  const double v = x;
  sum = draw::fma(v, v, sum);
}

/// The sum of 32 lanes, a thread a lane, added in halves; in every thread.
__device__ __forceinline__ double sum_of_lanes(double lane) {
#pragma unroll
  for (std::uint32_t half = kLanes / 2; half > 0; half /= 2)
    lane = draw::add(lane, __shfl_xor_sync(kEveryLane, lane, half));
  return lane;
}

/// Four whole chunks at once: thread t holds lanes 4 (t mod 8) ... + 3 of chunk t / 8, so that its loads are 16 bytes.
__device__ __forceinline__ double four_chunks(const float* x, std::uint32_t thread) {
  const float* const p = x + thread / 8 * kChunk + thread % 8 * 4;
  double lane[4] = {0, 0, 0, 0};
  constexpr int kInFlight = 16;
#pragma unroll 1
  for (std::uint32_t row = 0; row < kChunk / kLanes; row += kInFlight) {
    float4 v[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) v[i] = load_once(p + (row + i) * kLanes);
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      add_square(lane[0], v[i].x);
      add_square(lane[1], v[i].y);
      add_square(lane[2], v[i].z);
      add_square(lane[3], v[i].w);
    }
  }
#pragma unroll
  for (int half = 4; half > 0; half /= 2)
#pragma unroll
    for (double& l : lane) l = draw::add(l, __shfl_xor_sync(kEveryLane, l, half));
  return draw::add(draw::add(lane[0], lane[2]), draw::add(lane[1], lane[3]));
}

/// One chunk of `count` numbers, at any address.
__device__ __forceinline__ double one_chunk(const float* x, std::uint32_t count, std::uint32_t thread) {
  double lane = 0;
  constexpr int kInFlight = 16;
#pragma unroll 1
  for (std::uint32_t row = 0; row < kChunk; row += kLanes * kInFlight) {
    float v[kInFlight];
#pragma unroll
    for (std::uint32_t i = 0; i < kInFlight; ++i) {
      const std::uint32_t at = row + i * kLanes + thread;
      v[i] = at < count ? __ldg(x + at) : 0.0f;
    }
    // Adding the square of a 0 that is not there changes nothing: sums are never -0.
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) add_square(lane, v[i]);
  }
  return sum_of_lanes(lane);
}

__global__ void __launch_bounds__(32 * kTilesABlock)
    chunk_sums_kernel(const __grid_constant__ GradientTable table, std::uint32_t batch, double* chunk_sums) {
  const std::uint32_t thread = threadIdx.x % 32;
  // Examples run fastest: the last parameters of all of them are read last, and the sums that follow start there.
  const std::uint32_t b = blockIdx.x % batch;
  const std::uint64_t tile = static_cast<std::uint64_t>(blockIdx.x / batch) * kTilesABlock + threadIdx.x / 32;
  if (tile >= table.norm_tiles) return;
  const std::uint32_t t =
      tensor_of(table.count, tile, [&](std::uint32_t i) { return table.tensors[i].first_norm_tile; });
  const GradientTensor& tensor = table.tensors[t];
  const std::uint64_t begin = (tile - tensor.first_norm_tile) * kTile;
  const std::uint64_t left = tensor.width - begin;
  const float* const x = tensor.data + b * tensor.stride + begin;
  double* const out = chunk_sums + b * table.chunks + tensor.first_chunk + begin / kChunk;
  if (left >= kTile && reinterpret_cast<std::uintptr_t>(x) % 16 == 0) {
    const double sum = four_chunks(x, thread);
    if (thread % 8 == 0) out[thread / 8] = sum;
    return;
  }
#pragma unroll 1
  for (std::uint32_t chunk = 0; chunk < kChunksATile && chunk * kChunk < left; ++chunk) {
    const std::uint64_t count = left - chunk * kChunk;
    const double sum = one_chunk(x + chunk * kChunk, count < kChunk ? count : kChunk, thread);
    if (thread == 0) out[chunk] = sum;
  }
}

/// The sum of up to 1024 numbers as a chunk.
__device__ double sum_of_chunk(const double* x, std::uint64_t count, std::uint32_t thread) {
  double lane = 0;
#pragma unroll 8
  for (std::uint64_t i = thread; i < count; i += kLanes) lane = draw::add(lane, x[i]);
  return sum_of_lanes(lane);
}

/// What the chunks of chunks of one tensor come down to: up to 2^20 of them, 2^40 numbers.
__device__ double sum_of_supers(const double* x, std::uint64_t count, std::uint32_t thread) {
  if (count <= kChunk) return sum_of_chunk(x, count, thread);
  double lane = 0;
  for (std::uint64_t begin = 0, child = 0; begin < count; begin += kChunk, ++child) {
    const double sum = sum_of_chunk(x + begin, count - begin < kChunk ? count - begin : kChunk, thread);
    if (child % kLanes == thread) lane = draw::add(lane, sum);
  }
  return sum_of_lanes(lane);
}

/// A block an example: chunks' sums to tensors' to layers', and the clip factors.
__global__ void __launch_bounds__(1024)
    finish_norms_kernel(const __grid_constant__ GradientTable table, const __grid_constant__ ClipRule rule,
                        const double* chunk_sums, double* super_sums, double* tensor_sums, double* norms,
                        float* factors) {
  const std::uint64_t b = blockIdx.x;
  const std::uint32_t thread = threadIdx.x % 32;
  const std::uint32_t warp = threadIdx.x / 32;
  const std::uint32_t warps = blockDim.x / 32;
  chunk_sums += b * table.chunks;
  super_sums += b * table.supers;
  tensor_sums += b * table.count;
  for (std::uint64_t s = warp; s < table.supers; s += warps) {
    const std::uint32_t t = tensor_of(table.count, s, [&](std::uint32_t i) { return table.tensors[i].first_super; });
    const GradientTensor& tensor = table.tensors[t];
    const std::uint64_t begin = (s - tensor.first_super) * kChunk;
    const std::uint64_t left = (tensor.width + kChunk - 1) / kChunk - begin;
    const double sum = sum_of_chunk(chunk_sums + tensor.first_chunk + begin, left < kChunk ? left : kChunk, thread);
    if (thread == 0) super_sums[s] = sum;
  }
  __syncthreads();
  for (std::uint32_t t = warp; t < table.count; t += warps) {
    const std::uint64_t first = table.tensors[t].first_super;
    const std::uint64_t end = t + 1 < table.count ? table.tensors[t + 1].first_super : table.supers;
    const double sum = sum_of_supers(super_sums + first, end - first, thread);
    if (thread == 0) tensor_sums[t] = sum;
  }
  __syncthreads();
  for (std::uint32_t l = threadIdx.x; l < table.layers; l += blockDim.x) {
    double norm = 0;
    for (std::uint32_t i = table.layer_begin[l]; i < table.layer_begin[l + 1]; ++i)
      norm = draw::add(norm, tensor_sums[table.by_layer[i]]);
    norms[b * table.layers + l] = norm;
    if (factors != nullptr) factors[b * table.layers + l] = clip::factor(norm, rule.reduced[l], rule.gamma);
  }
}

__global__ void __launch_bounds__(1024) centred_count_kernel(const float* factors, std::uint64_t count, double* out) {
  __shared__ unsigned long long total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  unsigned long long mine = 0;
  for (std::uint64_t i = threadIdx.x; i < count; i += blockDim.x) mine += factors[i] == 1.0f ? 1 : 0;
  // Integers: any order gives the same sum.
  atomicAdd(&total, mine);
  __syncthreads();
  if (threadIdx.x == 0) *out = draw::add(static_cast<double>(total), draw::mul(-0.5, static_cast<double>(count)));
}

}  // namespace

GradientTable place_gradients(std::span<GradientTensor> tensors, std::uint32_t layers) {
  GradientTable table{};
  table.count = static_cast<std::uint32_t>(tensors.size());
  table.layers = layers;
  const auto pieces = [](std::uint64_t count, std::uint64_t size) { return (count + size - 1) / size; };
  for (GradientTensor& tensor : tensors) {
    tensor.first_chunk = table.chunks;
    tensor.first_super = table.supers;
    tensor.first_norm_tile = table.norm_tiles;
    table.chunks += pieces(tensor.width, kChunk);
    table.supers += pieces(tensor.width, std::uint64_t{kChunk} * kChunk);
    table.norm_tiles += pieces(tensor.width, kTile);
    for (int i = 0; i < 2; ++i) {
      const std::uint64_t group = i == 0 ? 512 : 640;
      tensor.first_sum_tile[i] = table.sum_tiles[i];
      // As many groups as a range of this width can touch, wherever it starts.
      if (tensor.width > 0) table.sum_tiles[i] += (tensor.width + 2 * group - 2) / group;
    }
  }
  return table;
}

std::uint64_t norm_work_bytes(const GradientTable& table, std::uint64_t batch) {
  return sizeof(double) * batch * (table.chunks + table.supers + table.count);
}

void gradient_norms(const GradientTable& table, std::uint64_t batch, const ClipRule& rule, void* work, double* norms,
                    float* factors, StreamHandle stream) {
  if (batch == 0) return;
  auto* const chunk_sums = static_cast<double*>(work);
  double* const super_sums = chunk_sums + batch * table.chunks;
  double* const tensor_sums = super_sums + batch * table.supers;
  if (table.norm_tiles > 0) {
    const std::uint64_t blocks = (table.norm_tiles + kTilesABlock - 1) / kTilesABlock * batch;
    chunk_sums_kernel<<<static_cast<unsigned>(blocks), 32 * kTilesABlock, 0, stream>>>(
        table, static_cast<std::uint32_t>(batch), chunk_sums);
    check_launch("chunk_sums");
  }
  const std::uint64_t work_items = std::max<std::uint64_t>({table.supers * 32, table.count * 32ull, table.layers});
  const auto threads = static_cast<unsigned>(std::min<std::uint64_t>(1024, (work_items + 31) / 32 * 32));
  finish_norms_kernel<<<static_cast<unsigned>(batch), threads, 0, stream>>>(table, rule, chunk_sums, super_sums,
                                                                            tensor_sums, norms, factors);
  check_launch("finish_norms");
}

void centred_count(const float* factors, std::uint64_t count, double* out, StreamHandle stream) {
  centred_count_kernel<<<1, 1024, 0, stream>>>(factors, count, out);
  check_launch("centred_count");
}

}  // namespace dpflash::gpu
