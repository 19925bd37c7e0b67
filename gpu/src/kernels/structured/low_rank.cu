// Products with a public basis. Exact products are added in double, each number in a fixed order: the sensitivity of
// the projection is then that of the host's, which no product in binary32 would have.
#include <algorithm>

#include "dpflash/gpu/error.hpp"
#include "draw/arith.hpp"
#include "kernels/structured.hpp"

namespace dpflash::gpu {

namespace {

/// A block computes kTile x kTile numbers, a thread kMine x kMine of them.
constexpr std::uint32_t kTile = 64;
constexpr std::uint32_t kMine = 4;
constexpr std::uint32_t kDepth = 16;
constexpr unsigned kThreads = (kTile / kMine) * (kTile / kMine);
constexpr std::uint64_t kMostBlocks = 65535;

constexpr std::uint64_t kVectorSlab = 1024;
constexpr std::uint64_t kMostVectorSlabs = 2048;

std::uint64_t pieces(std::uint64_t count, std::uint64_t size) { return (count + size - 1) / size; }

/// out(m, j) = sum over k in the block's slab of left(k, m) right(k, j), k rising. left(k, m) is at k * depth_step +
/// m * left_step, one of the two steps being 1; right and out are row-major with `columns` columns.
struct Product {
  const float* left;
  const float* right;
  std::uint64_t m;
  std::uint64_t depth;
  std::uint64_t columns;
  std::uint64_t depth_step;
  std::uint64_t left_step;
  std::uint64_t slab;  ///< rows a slab
  float* out;
  double* partial;  ///< [slabs x m x columns] in place of out, unless null
};

/// One tile of kDepth x kTile numbers to shared memory as doubles, zeros outside.
template <bool along_depth>
__device__ __forceinline__ void load_tile(const float* from, std::uint64_t depth_step, std::uint64_t step,
                                          std::uint64_t depth_left, std::uint64_t left, double (&tile)[kDepth][kTile]) {
  for (std::uint32_t i = threadIdx.x; i < kDepth * kTile; i += kThreads) {
    const std::uint32_t k = along_depth ? i % kDepth : i / kTile;
    const std::uint32_t m = along_depth ? i / kDepth : i % kTile;
    tile[k][m] = k < depth_left && m < left ? static_cast<double>(__ldg(from + k * depth_step + m * step)) : 0.0;
  }
}

template <bool along_depth>
__device__ __forceinline__ void product_tile(const Product& p, std::uint64_t m0, std::uint64_t j0, std::uint64_t begin,
                                             std::uint64_t end) {
  __shared__ double left[kDepth][kTile];
  __shared__ double right[kDepth][kTile];
  const std::uint32_t mt = threadIdx.x / (kTile / kMine) * kMine;
  const std::uint32_t jt = threadIdx.x % (kTile / kMine);
  double sum[kMine][kMine] = {};
  for (std::uint64_t k0 = begin; k0 < end; k0 += kDepth) {
    __syncthreads();
    load_tile<along_depth>(p.left + k0 * p.depth_step + m0 * p.left_step, p.depth_step, p.left_step, end - k0, p.m - m0,
                           left);
    load_tile<false>(p.right + k0 * p.columns + j0, p.columns, 1, end - k0, p.columns - j0, right);
    __syncthreads();
    const auto here = static_cast<std::uint32_t>(end - k0 < kDepth ? end - k0 : kDepth);
    for (std::uint32_t k = 0; k < here; ++k)
#pragma unroll
      for (std::uint32_t a = 0; a < kMine; ++a)
#pragma unroll
        for (std::uint32_t b = 0; b < kMine; ++b)
          sum[a][b] = draw::fma(left[k][mt + a], right[k][jt + b * (kTile / kMine)], sum[a][b]);
  }
#pragma unroll
  for (std::uint32_t a = 0; a < kMine; ++a)
#pragma unroll
    for (std::uint32_t b = 0; b < kMine; ++b) {
      const std::uint64_t m = m0 + mt + a;
      const std::uint64_t j = j0 + jt + b * (kTile / kMine);
      if (m >= p.m || j >= p.columns) continue;
      if (p.partial != nullptr)
        p.partial[(blockIdx.z * p.m + m) * p.columns + j] = sum[a][b];
      else
        p.out[m * p.columns + j] = static_cast<float>(sum[a][b]);
    }
}

template <bool along_depth>
__global__ void __launch_bounds__(kThreads) product_kernel(const __grid_constant__ Product p) {
  const std::uint64_t begin = blockIdx.z * p.slab;
  const std::uint64_t end = begin + p.slab < p.depth ? begin + p.slab : p.depth;
  for (std::uint64_t j0 = std::uint64_t{blockIdx.y} * kTile; j0 < p.columns; j0 += std::uint64_t{gridDim.y} * kTile)
    product_tile<along_depth>(p, std::uint64_t{blockIdx.x} * kTile, j0, begin, end);
}

template <bool along_depth>
void launch_product(const Product& p, StreamHandle stream) {
  const dim3 grid(static_cast<unsigned>(pieces(p.m, kTile)),
                  static_cast<unsigned>(std::min(pieces(p.columns, kTile), kMostBlocks)),
                  static_cast<unsigned>(pieces(p.depth, p.slab)));
  product_kernel<along_depth><<<grid, kThreads, 0, stream>>>(p);
  check_launch("product");
}

/// partial[slab * rank + a] = sum over the slab's rows of U(i, a) g(i): eight threads a column take every eighth row,
/// and are added in halves.
__global__ void __launch_bounds__(256) project_vector_kernel(const float* basis, const float* g, std::uint64_t rows,
                                                             std::uint64_t rank, std::uint64_t slab, double* partial) {
  __shared__ double shared[8][32];
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t turn = threadIdx.x / 32;
  const std::uint64_t begin = blockIdx.x * slab;
  const std::uint64_t end = begin + slab < rows ? begin + slab : rows;
  for (std::uint64_t a0 = std::uint64_t{blockIdx.y} * 32; a0 < rank; a0 += std::uint64_t{gridDim.y} * 32) {
    const std::uint64_t a = a0 + lane;
    double sum = 0;
    if (a < rank)
#pragma unroll 8
      for (std::uint64_t i = begin + turn; i < end; i += 8)
        sum = draw::fma(static_cast<double>(__ldg(basis + i * rank + a)), static_cast<double>(__ldg(g + i)), sum);
    __syncthreads();
    shared[turn][lane] = sum;
    for (std::uint32_t half = 4; half > 0; half /= 2) {
      __syncthreads();
      if (turn < half) shared[turn][lane] = draw::add(shared[turn][lane], shared[turn + half][lane]);
    }
    if (turn == 0 && a < rank) partial[blockIdx.x * rank + a] = shared[0][lane];
  }
}

/// The same for ranks that divide 128 in fours: the slab is read straight through, a thread's four numbers lie in one
/// row and in the same four columns every time.
constexpr std::uint32_t kStraight = 128;

bool straight(std::uint64_t rank) { return rank % 4 == 0 && kStraight % rank == 0; }

__global__ void __launch_bounds__(256)
    project_straight_kernel(const float* basis, const float* g, std::uint64_t rows, std::uint32_t rank,
                            std::uint64_t slab, double* partial) {
  __shared__ double shared[8][kStraight];
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t warp = threadIdx.x / 32;
  const std::uint32_t rows_a_time = kStraight / rank;
  const std::uint64_t begin = blockIdx.x * slab;
  const std::uint64_t end = begin + slab < rows ? begin + slab : rows;
  double sum[4] = {0, 0, 0, 0};
#pragma unroll 8
  for (std::uint64_t i = begin + warp * rows_a_time + lane * 4 / rank; i < end; i += 8 * rows_a_time) {
    const float4 u = __ldcs(reinterpret_cast<const float4*>(basis + i * rank + lane * 4 % rank));
    const double x = __ldg(g + i);
    sum[0] = draw::fma(static_cast<double>(u.x), x, sum[0]);
    sum[1] = draw::fma(static_cast<double>(u.y), x, sum[1]);
    sum[2] = draw::fma(static_cast<double>(u.z), x, sum[2]);
    sum[3] = draw::fma(static_cast<double>(u.w), x, sum[3]);
  }
  for (std::uint32_t k = 0; k < 4; ++k) shared[warp][lane * 4 + k] = sum[k];
  __syncthreads();
  if (threadIdx.x >= rank) return;
  double total = 0;
  for (std::uint32_t w = 0; w < 8; ++w)
    for (std::uint32_t a = threadIdx.x; a < kStraight; a += rank) total = draw::add(total, shared[w][a]);
  partial[blockIdx.x * rank + threadIdx.x] = total;
}

/// out[i] = the sum of partial[s * size + i] over s: 32 threads take every 32nd slab and are added in halves.
__global__ void __launch_bounds__(256)
    add_many_slabs_kernel(const double* partial, std::uint64_t slabs, std::uint64_t size, float* out) {
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint64_t i = std::uint64_t{blockIdx.x} * (blockDim.x / 32) + threadIdx.x / 32;
  if (i >= size) return;
  double sum = 0;
#pragma unroll 8
  for (std::uint64_t s = lane; s < slabs; s += 32) sum = draw::add(sum, __ldg(partial + s * size + i));
  for (int half = 16; half > 0; half /= 2) sum = draw::add(sum, __shfl_down_sync(0xffffffffu, sum, half));
  if (lane == 0) out[i] = static_cast<float>(sum);
}

__global__ void add_slabs_kernel(const double* partial, std::uint64_t slabs, std::uint64_t size, float* out) {
  const std::uint64_t i = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= size) return;
  double sum = 0;
#pragma unroll 8
  for (std::uint64_t s = 0; s < slabs; ++s) sum = draw::add(sum, partial[s * size + i]);
  out[i] = static_cast<float>(sum);
}

/// A thread a row; tiles of the basis pass through shared memory so that they are read in order.
constexpr std::uint32_t kLiftRows = 128;

__global__ void __launch_bounds__(kLiftRows)
    lift_vector_kernel(const float* basis, const float* y, std::uint64_t rows, std::uint64_t rank, float* out) {
  __shared__ float tile[kLiftRows][33];
  __shared__ double shared_y[32];
  const std::uint64_t row0 = std::uint64_t{blockIdx.x} * kLiftRows;
  const std::uint32_t lane = threadIdx.x % 32;
  double sum = 0;
  for (std::uint64_t a0 = 0; a0 < rank; a0 += 32) {
    __syncthreads();
    for (std::uint32_t i = threadIdx.x / 32; i < kLiftRows; i += kLiftRows / 32)
      if (row0 + i < rows && a0 + lane < rank) tile[i][lane] = __ldg(basis + (row0 + i) * rank + a0 + lane);
    if (threadIdx.x < 32 && a0 + lane < rank) shared_y[lane] = static_cast<double>(__ldg(y + a0 + lane));
    __syncthreads();
    const auto here = static_cast<std::uint32_t>(rank - a0 < 32 ? rank - a0 : 32);
    if (row0 + threadIdx.x < rows)
      for (std::uint32_t a = 0; a < here; ++a)
        sum = draw::fma(static_cast<double>(tile[threadIdx.x][a]), shared_y[a], sum);
  }
  if (row0 + threadIdx.x < rows) out[row0 + threadIdx.x] = static_cast<float>(sum);
}

/// The same for ranks that divide 128 in fours.
constexpr std::uint32_t kStraightRows = 128;

__global__ void __launch_bounds__(kStraightRows)
    lift_straight_kernel(const float* basis, const float* y, std::uint64_t rows, std::uint32_t rank, float* out) {
  extern __shared__ float4 straight_tile[];
  __shared__ double shared_y[kStraight];
  const std::uint64_t row0 = std::uint64_t{blockIdx.x} * kStraightRows;
  const std::uint32_t quads = rank / 4;
  // One more quad a row: rows then start in different banks.
  const std::uint32_t pitch = quads + 1;
  if (threadIdx.x < rank) shared_y[threadIdx.x] = static_cast<double>(__ldg(y + threadIdx.x));
  const float4* const from = reinterpret_cast<const float4*>(basis + row0 * rank);
  const std::uint64_t left = (rows - row0) * quads;
#pragma unroll 8
  for (std::uint32_t k = 0; k < quads; ++k) {
    const std::uint32_t i = k * kStraightRows + threadIdx.x;
    if (i < left) straight_tile[i / quads * pitch + i % quads] = __ldcs(from + i);
  }
  __syncthreads();
  if (row0 + threadIdx.x >= rows) return;
  double sum = 0;
#pragma unroll 8
  for (std::uint32_t k = 0; k < quads; ++k) {
    const float4 u = straight_tile[threadIdx.x * pitch + k];
    sum = draw::fma(static_cast<double>(u.x), shared_y[4 * k], sum);
    sum = draw::fma(static_cast<double>(u.y), shared_y[4 * k + 1], sum);
    sum = draw::fma(static_cast<double>(u.z), shared_y[4 * k + 2], sum);
    sum = draw::fma(static_cast<double>(u.w), shared_y[4 * k + 3], sum);
  }
  out[row0 + threadIdx.x] = static_cast<float>(sum);
}

/// Rows a slab.
std::uint64_t slab_of(const BasisShape& shape) {
  if (shape.columns == 1) return std::max(kVectorSlab, pieces(shape.rows, kMostVectorSlabs));
  // Enough blocks for a large device, slabs that are worth their partial sums.
  const std::uint64_t tiles = pieces(shape.rank, kTile) * pieces(shape.columns, kTile);
  const std::uint64_t slabs = std::clamp<std::uint64_t>(256 / tiles, 1, std::max<std::uint64_t>(1, shape.rows / 256));
  return pieces(pieces(shape.rows, slabs), kDepth) * kDepth;
}

}  // namespace

std::uint64_t project_slabs(const BasisShape& shape) { return pieces(shape.rows, slab_of(shape)); }

std::uint64_t project_work(const BasisShape& shape) {
  const std::uint64_t slabs = project_slabs(shape);
  return shape.columns == 1 || slabs > 1 ? slabs * shape.rank * shape.columns : 0;
}

void project(const BasisShape& shape, const float* basis, const float* sum, double* work, float* subspace,
             StreamHandle stream) {
  const std::uint64_t slab = slab_of(shape);
  const std::uint64_t slabs = project_slabs(shape);
  if (shape.columns == 1) {
    const dim3 grid(static_cast<unsigned>(slabs), static_cast<unsigned>(std::min(pieces(shape.rank, 32), kMostBlocks)));
    if (straight(shape.rank) && reinterpret_cast<std::uintptr_t>(basis) % 16 == 0)
      project_straight_kernel<<<grid.x, 256, 0, stream>>>(basis, sum, shape.rows,
                                                          static_cast<std::uint32_t>(shape.rank), slab, work);
    else
      project_vector_kernel<<<grid, 256, 0, stream>>>(basis, sum, shape.rows, shape.rank, slab, work);
    check_launch("project_vector");
    add_many_slabs_kernel<<<static_cast<unsigned>(pieces(shape.rank, 8)), 256, 0, stream>>>(work, slabs, shape.rank,
                                                                                            subspace);
    check_launch("add_many_slabs");
    return;
  }
  launch_product<false>(
      {basis, sum, shape.rank, shape.rows, shape.columns, shape.rank, 1, slab, subspace, slabs > 1 ? work : nullptr},
      stream);
  if (slabs == 1) return;
  const std::uint64_t size = shape.rank * shape.columns;
  add_slabs_kernel<<<static_cast<unsigned>(pieces(size, 128)), 128, 0, stream>>>(work, slabs, size, subspace);
  check_launch("add_slabs");
}

void lift(const BasisShape& shape, const float* basis, const float* subspace, float* out, StreamHandle stream) {
  if (shape.columns == 1 && straight(shape.rank) && reinterpret_cast<std::uintptr_t>(basis) % 16 == 0) {
    const std::uint64_t shared = kStraightRows * (shape.rank / 4 + 1) * sizeof(float4);
    lift_straight_kernel<<<static_cast<unsigned>(pieces(shape.rows, kStraightRows)), kStraightRows, shared, stream>>>(
        basis, subspace, shape.rows, static_cast<std::uint32_t>(shape.rank), out);
    check_launch("lift_straight");
    return;
  }
  if (shape.columns == 1) {
    lift_vector_kernel<<<static_cast<unsigned>(pieces(shape.rows, kLiftRows)), kLiftRows, 0, stream>>>(
        basis, subspace, shape.rows, shape.rank, out);
    check_launch("lift_vector");
    return;
  }
  launch_product<true>(
      {basis, subspace, shape.rows, shape.rank, shape.columns, 1, shape.rank, shape.rank, out, nullptr}, stream);
}

}  // namespace dpflash::gpu
