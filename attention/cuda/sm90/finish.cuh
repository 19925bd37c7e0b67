// The end of a tile: division, noise, output.
#pragma once

#include "cuda/sm90/consume.cuh"

namespace dpflash::attention::cuda {

/// A warpgroup's accumulators of the answer: columns below 128, and those above.
template <class T>
struct Answer {
  static constexpr int split = T::width < 128 ? T::width : 128;
  static constexpr int rest = T::width - split;
  float low[split / 2];
  float high[rest > 0 ? rest / 2 : 1];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < split / 2; ++i) low[i] = 0;
#pragma unroll
    for (int i = 0; i < rest / 2; ++i) high[i] = 0;
  }
  template <bool f16>
  __device__ __forceinline__ void add(const std::uint32_t* p, const Operand& v, std::uint32_t offset) {
    ValueProduct<split, f16>::add(low, p, v.at(offset));
    if constexpr (rest > 0) ValueProduct<rest, f16>::add(high, p, v.at(offset + 2 * T::keys * 128));
  }
  __device__ __forceinline__ void pin_all() {
    pin(low);
    if constexpr (rest > 0) pin(high);
  }
  __device__ __forceinline__ float at(int i) const {
    return i < split / 2 ? low[i] : i < T::width / 2 ? high[i - split / 2] : 0.0f;
  }
  /// The next 32 columns to the front.
  __device__ __forceinline__ void advance() {
#pragma unroll
    for (int i = 0; i < T::width / 2; ++i) (i < split / 2 ? low[i] : high[i - split / 2]) = at(i + 16);
  }
};

/// What the end of a tile knows of a thread's two rows.
struct Ending {
  int row[2];
  float inverse[2];
  float sigma[2];
};

/// Columns 32 c to 32 c + 31 of the answer, which are in front.
template <class T, bool f16, class Source>
__device__ __forceinline__ void finish_block(const LaunchNumbers& n, const Run<Source>& run, const Work& w,
                                             const Ending& end, const Answer<T>& o, int row_block, int c,
                                             std::uint32_t step) {
  const std::uint32_t lane = threadIdx.x % 32;
  float x[16];
#pragma unroll
  for (int i = 0; i < 16; ++i) x[i] = __fmul_rn(o.at(i), end.inverse[i / 2 % 2]);
  if (n.clean.data != nullptr) store_block<f16>(n.clean, n, w, end.row, c, x);
  float z[16];
  block_draws(
      run,
      draw::attention_group(plane_of(n, w), static_cast<unsigned>(w.first / 16 + row_block), static_cast<unsigned>(c)),
      lane, step, z);
#pragma unroll
  for (int i = 0; i < 16; ++i) x[i] = __fmaf_rn(end.sigma[i / 2 % 2], z[i], x[i]);
  store_block<f16>(n.out, n, w, end.row, c, x);
}

/// Output, clean output and log of the sum of a finished tile.
template <class T, bool f16, class Source>
__device__ __forceinline__ void finish(const LaunchNumbers& n, const Run<Source>& run, const Work& w, float (&sums)[2],
                                       Answer<T>& o, int warpgroup) {
  const std::uint32_t lane = threadIdx.x % 32;
  const int row_block = 4 * warpgroup + static_cast<int>(threadIdx.x / 32 % 4);
  float fault;
  const std::uint32_t step = step_of(run, fault);
  Ending end;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    end.row[r] = w.first + 16 * row_block + static_cast<int>(lane) / 4 + 8 * r;
    float sum = sums[r];
    sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 1));
    sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 2));
    end.inverse[r] = sum > 0 ? __frcp_rn(sum) : 0.0f;
    const bool inside = end.row[r] < w.rows;
    float sigma = n.sigma.value[w.head];
    if (n.sigma_rows != nullptr && inside)
      sigma = n.sigma_rows[static_cast<std::int64_t>(w.head) * n.rows + end.row[r]];
    end.sigma[r] = __fadd_rn(sigma, fault);
    if (n.lse != nullptr && inside && lane % 4 == 0) {
      const std::int64_t at = n.cumulative_q != nullptr
                                  ? w.head * n.total_q + w.q_offset
                                  : (static_cast<std::int64_t>(w.batch) * n.heads + w.head) * n.rows;
      n.lse[at + end.row[r]] = logf(sum);
    }
  }
  // A loop, though the answer must move through its registers for it: as much code as a block has, and not that of all,
  // has to be fetched.
#pragma unroll 1
  for (int c = 0; c < T::column_blocks; ++c) {
    finish_block<T, f16>(n, run, w, end, o, row_block, c, step);
    o.advance();
  }
}

}  // namespace dpflash::attention::cuda
