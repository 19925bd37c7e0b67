// Contributions on the grid. A try is a pass over all rows that are not settled; the last tries, which are rare, are
// one block's a row, so that the number of launches is fixed.
#include <algorithm>
#include <type_traits>

#include "clip/grid_rounding.hpp"
#include "dpflash/gpu/error.hpp"
#include "kernels/grid.hpp"
#include "kernels/trainer.hpp"

namespace dpflash::gpu {

namespace {

using grid::Rounding;
using grid::Square;

constexpr unsigned kThreads = 256;
/// Elements of a row that one block squares.
constexpr std::uint64_t kPiece = 64 * kThreads;
/// Tries that are passes of their own. Rounding is as likely to lengthen a long row as to shorten it, so that after the
/// first two each try settles about half of the rows.
constexpr int kPasses = 10;
/// Threads that finish a row: it has one block alone.
constexpr unsigned kRowThreads = 1024;
constexpr unsigned kEveryLane = 0xffffffffu;

/// Where a row stands.
struct Row {
  Square sum;
  Rounding rounding;
  std::int32_t attempt;
  std::int32_t settled;
};

__global__ void start_kernel(GridRows rows, const double* norms, Row* state) {
  const std::uint32_t b = blockIdx.x * kThreads + threadIdx.x;
  if (b >= rows.batch) return;
  const Rounding first = grid::first_rounding(norms[b], rows.per_unit, rows.integer_clip);
  state[b] = {{0, 0}, first, 0, first.factor == 0 ? 1 : 0};
}

/// The sum of a block's squares, in thread 0.
__device__ __forceinline__ Square sum_of_block(Square mine) {
  __shared__ Square shared[32];
#pragma unroll
  for (int half = 16; half > 0; half /= 2) {
    const Square other = {__shfl_xor_sync(kEveryLane, static_cast<unsigned long long>(mine.high), half),
                          __shfl_xor_sync(kEveryLane, static_cast<unsigned long long>(mine.low), half)};
    grid::add(mine, other);
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = mine;
  __syncthreads();
  if (threadIdx.x == 0)
    for (std::uint32_t w = 1; w < blockDim.x / 32; ++w) grid::add(mine, shared[w]);
  return mine;
}

__device__ __forceinline__ Square squares_of(const float* x, std::uint64_t begin, std::uint64_t end,
                                             const Rounding& rounding) {
  Square mine{0, 0};
#pragma unroll 8
  for (std::uint64_t j = begin + threadIdx.x; j < end; j += blockDim.x)
    grid::add(mine, grid::square_of(grid::rounded(__ldg(x + j), rounding)));
  return mine;
}

__global__ void __launch_bounds__(kThreads) squares_kernel(GridRows rows, Row* state) {
  const std::uint32_t b = blockIdx.y;
  if (state[b].settled != 0) return;
  const std::uint64_t begin = std::uint64_t{blockIdx.x} * kPiece;
  const std::uint64_t end = begin + kPiece < rows.width ? begin + kPiece : rows.width;
  const Square sum = sum_of_block(squares_of(rows.data + b * rows.stride, begin, end, state[b].rounding));
  if (threadIdx.x != 0) return;
  // Integers: any order gives the same sum.
  auto* const low = reinterpret_cast<unsigned long long*>(&state[b].sum.low);
  auto* const high = reinterpret_cast<unsigned long long*>(&state[b].sum.high);
  const unsigned long long before = atomicAdd(low, static_cast<unsigned long long>(sum.low));
  atomicAdd(high, static_cast<unsigned long long>(sum.high) + (before + sum.low < before ? 1u : 0u));
}

/// Takes the sum of a try: the row is settled, or its next try follows.
__device__ __forceinline__ void decide(const GridRows& rows, Row& row) {
  if (grid::at_most(row.sum, grid::square_of(rows.integer_clip))) {
    row.settled = 1;
    return;
  }
  row.rounding = grid::next_rounding(row.rounding, row.sum, rows.integer_clip, row.attempt);
  row.attempt += 1;
  row.settled = row.rounding.factor == 0 ? 1 : 0;
  row.sum = {0, 0};
}

__global__ void decide_kernel(GridRows rows, Row* state) {
  const std::uint32_t b = blockIdx.x * kThreads + threadIdx.x;
  if (b < rows.batch && state[b].settled == 0) decide(rows, state[b]);
}

__global__ void __launch_bounds__(kRowThreads) remaining_kernel(GridRows rows, Row* state) {
  __shared__ Row row;
  const std::uint32_t b = blockIdx.x;
  if (threadIdx.x == 0) row = state[b];
  __syncthreads();
  while (row.settled == 0) {
    const Square sum = sum_of_block(squares_of(rows.data + b * rows.stride, 0, rows.width, row.rounding));
    __syncthreads();
    if (threadIdx.x == 0) {
      row.sum = sum;
      decide(rows, row);
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) state[b] = row;
}

template <class Integer>
__global__ void __launch_bounds__(kThreads) add_rows_kernel(GridRows rows, const Row* state, Integer* sum) {
  using Unsigned = std::make_unsigned_t<Integer>;
  const std::uint64_t j = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (j >= rows.width) return;
  auto total = static_cast<Unsigned>(sum[j]);
#pragma unroll 8
  for (std::uint32_t b = 0; b < rows.batch; ++b)
    total += static_cast<Unsigned>(grid::rounded(__ldg(rows.data + b * rows.stride + j), state[b].rounding));
  sum[j] = static_cast<Integer>(total);
}

template <class Integer>
__global__ void scale_kernel(const Integer* sum, std::uint64_t size, double unit, float* out) {
  const std::uint64_t i = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < size) out[i] = static_cast<float>(draw::mul(static_cast<double>(sum[i]), unit));
}

unsigned blocks_of(std::uint64_t size, std::uint64_t piece) {
  return static_cast<unsigned>((size + piece - 1) / piece);
}

/// The one tensor of the norms, written in stream order so that a graph holds it.
__global__ void set_tensor_kernel(GradientTensor* tensor, std::uint32_t* by_layer, GradientTensor value) {
  *tensor = value;
  by_layer[0] = 0;
  by_layer[1] = 0;
  by_layer[2] = 1;
}

GradientTensor tensor_of(std::uint64_t width, std::uint64_t stride, const float* data) {
  GradientTensor tensor{};
  tensor.data = data;
  tensor.width = width;
  tensor.stride = stride;
  return tensor;
}

constexpr std::uint64_t kHead = sizeof(GradientTensor) + 4 * sizeof(std::uint32_t);
static_assert(kHead % 8 == 0);

template <class Integer>
void add_rows(const GridRows& rows, void* work, Integer* sum, StreamHandle stream) {
  if (rows.batch == 0 || rows.width == 0) return;
  auto* const tensor = static_cast<GradientTensor*>(work);
  auto* const by_layer = reinterpret_cast<std::uint32_t*>(tensor + 1);
  auto* const state = reinterpret_cast<Row*>(static_cast<char*>(work) + kHead);
  auto* const norms = reinterpret_cast<double*>(state + rows.batch);
  GradientTensor value = tensor_of(rows.width, rows.stride, rows.data);
  GradientTable table = place_gradients({&value, 1}, 1);
  table.tensors = tensor;
  table.by_layer = by_layer;
  table.layer_begin = by_layer + 1;
  set_tensor_kernel<<<1, 1, 0, stream>>>(tensor, by_layer, value);
  check_launch("set_tensor");
  gradient_norms(table, rows.batch, {}, norms + rows.batch, norms, nullptr, stream);
  const unsigned row_blocks = blocks_of(rows.batch, kThreads);
  start_kernel<<<row_blocks, kThreads, 0, stream>>>(rows, norms, state);
  check_launch("start");
  const dim3 pieces(blocks_of(rows.width, kPiece), rows.batch);
  for (int pass = 0; pass < kPasses; ++pass) {
    squares_kernel<<<pieces, kThreads, 0, stream>>>(rows, state);
    check_launch("squares");
    decide_kernel<<<row_blocks, kThreads, 0, stream>>>(rows, state);
    check_launch("decide");
  }
  remaining_kernel<<<rows.batch, kRowThreads, 0, stream>>>(rows, state);
  check_launch("remaining");
  add_rows_kernel<<<blocks_of(rows.width, kThreads), kThreads, 0, stream>>>(rows, state, sum);
  check_launch("add_rows");
}

template <class Integer>
void scale_all(const Integer* sum, std::uint64_t size, double unit, float* out, StreamHandle stream) {
  if (size == 0) return;
  scale_kernel<<<blocks_of(size, kThreads), kThreads, 0, stream>>>(sum, size, unit, out);
  check_launch("scale_integers");
}

}  // namespace

std::uint64_t grid_work_bytes(std::uint64_t width, std::uint64_t batch) {
  GradientTensor tensor = tensor_of(width, width, nullptr);
  const GradientTable table = place_gradients({&tensor, 1}, 1);
  return kHead + batch * (sizeof(Row) + sizeof(double)) + norm_work_bytes(table, batch);
}

void add_grid_rows(const GridRows& rows, void* work, std::int64_t* sum, StreamHandle stream) {
  add_rows(rows, work, sum, stream);
}
void add_grid_rows(const GridRows& rows, void* work, std::int32_t* sum, StreamHandle stream) {
  add_rows(rows, work, sum, stream);
}
void scale_integers(const std::int64_t* sum, std::uint64_t size, double unit, float* out, StreamHandle stream) {
  scale_all(sum, size, unit, out, stream);
}
void scale_integers(const std::int32_t* sum, std::uint64_t size, double unit, float* out, StreamHandle stream) {
  scale_all(sum, size, unit, out, stream);
}

}  // namespace dpflash::gpu
