// From a warp's rows in fp32 to what is written: rounded, with noise and, where asked for, without.
#pragma once

#include <cstdint>

#include "cuda/sm80/launch.hpp"
#include "draw/attention_normal.hpp"
#include "kernels/elements.cuh"

namespace dpflash::attention::cuda::sm80 {

/// The draws of a lane from its words, with a refill where a radius is rare: a loop, because it seldom runs.
template <class Source>
__device__ __noinline__ void rare_normals(const typename Source::Key& key, std::uint64_t group, std::uint32_t lane,
                                          std::uint32_t step, std::uint32_t stream, const std::uint32_t (&x)[12],
                                          float (&z)[16]) {
#pragma unroll 1
  for (std::uint32_t q = 0; q < 4; ++q) {
    const std::uint32_t* const w = &x[3 * q];
    std::uint32_t e[4];
    draw::attention_refill<Source>(key, group, lane, step, stream, q, e);
    const float r0 =
        w[0] < draw::kNormalRareBelow ? draw::rare_radius_squared(w[0], e[0], e[1]) : draw::radius_squared(w[0]);
    const float r1 =
        w[1] < draw::kNormalRareBelow ? draw::rare_radius_squared(w[1], e[2], e[3]) : draw::radius_squared(w[1]);
    draw::normal_quad(r0, r1, w[0], w[1], w[2], &z[4 * q]);
  }
}

/// draw::attention_normals, with the rare radii out of the way of registers.
template <class Source>
__device__ __forceinline__ void normals_of(const typename Source::Key& key, std::uint64_t group, std::uint32_t lane,
                                           std::uint32_t step, std::uint32_t stream, float (&z)[16]) {
  std::uint32_t x[12];
  draw::attention_words<Source>(key, group, lane, step, stream, x);
  std::uint32_t rarest = draw::kNormalRareBelow;
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    const std::uint32_t* const w = &x[3 * q];
    rarest = min(rarest, min(w[0], w[1]));
    draw::normal_quad(draw::radius_squared(w[0]), draw::radius_squared(w[1]), w[0], w[1], w[2], &z[4 * q]);
  }
  if (rarest < draw::kNormalRareBelow) {
    // Copies: only this branch needs arrays in memory.
    std::uint32_t words[12];
    float all[16];
#pragma unroll
    for (int i = 0; i < 12; ++i) words[i] = x[i];
    rare_normals<Source>(key, group, lane, step, stream, words, all);
#pragma unroll
    for (int i = 0; i < 16; ++i) z[i] = all[i];
  }
}

template <class Source>
__device__ __forceinline__ typename Source::Key key_of(const Launch& launch) {
  if constexpr (Source::words == 4)
    return launch.philox_key;
  else
    return launch.problem.draws.key;
}

/// A warp's rows: groups of 16, each in blocks of 32 columns.
struct WarpRows {
  /// 512 floats a (group, block), group by group: lane l's four numbers of eighth q of the columns, laid out as
  /// attention_normal.hpp says, are element 32 q + l.
  float4* staged;
  std::uint64_t plane;
  int head;
  int groups;
  int first_row;  ///< of the sequence, a multiple of 16
  int queries;    ///< rows that exist
};

/// Where a tensor's rows of this sequence and head are.
template <class T>
struct RowsOut {
  T* first_row;
  std::int64_t row_stride;
  bool aligned;
};

/// 16 rows of 32 columns, rounded to nearest, through shared memory: lanes own scattered pairs, memory wants 16 bytes.
/// Rows of 64 bytes there; chunks are mixed with the row as in tiles. The warp calls, and has met since it last used
/// `staged`.
template <class T>
__device__ __forceinline__ void store_block(const RowsOut<T>& out, float4* staged, const float (&x)[16], int row,
                                            int queries, int column, int head_dim) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  auto* const words = reinterpret_cast<std::uint32_t*>(staged);
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    // Rows l / 4 and l / 4 + 8 are mixed alike: half the row, modulo 4.
    const int word = lane / 4 * 16 + (q ^ (lane / 8 & 3)) * 4 + lane % 4;
    words[word] = gpu::Four<T>::pair(x[4 * q], x[4 * q + 1]);
    words[word + 8 * 16] = gpu::Four<T>::pair(x[4 * q + 2], x[4 * q + 3]);
  }
  __syncwarp();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = lane / 4 + 8 * half;
    const int c = column + lane % 4 * 8;
    if (row + r >= queries || c >= head_dim) continue;
    const uint4 chunk = reinterpret_cast<const uint4*>(words)[r * 4 + (lane % 4 ^ (r / 2 & 3))];
    T* const to = out.first_row + (row + r) * out.row_stride + c;
    if (out.aligned) {
      *reinterpret_cast<uint4*>(to) = chunk;
    } else {
      const std::uint32_t pairs[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
      for (int i = 0; i < 8; ++i)
        reinterpret_cast<unsigned short*>(to)[i] = static_cast<unsigned short>(pairs[i / 2] >> (i % 2 * 16));
    }
  }
  __syncwarp();
}

/// Noise of a row; `fault` is 0, or NaN when there is no step left to draw at.
__device__ __forceinline__ float noise_of(const Forward& problem, int head, int row, int queries, float fault) {
  float sigma = problem.sigma.value[head];
  if (problem.sigma_rows != nullptr)
    sigma = row < queries ? problem.sigma_rows[static_cast<std::int64_t>(head) * problem.rows + row] : 0.0f;
  return draw::add(sigma, fault);
}

/// Writes a warp's rows. Not inlined: it runs once a tile, and the generators are long.
template <class Source, class T>
__device__ __noinline__ void write_rows(const Launch& launch, const WarpRows& rows, const RowsOut<T>& out,
                                        const RowsOut<T>& clean) {
  const Forward& problem = launch.problem;
  const typename Source::Key key = key_of<Source>(launch);
  std::uint32_t step = problem.draws.step;
  float fault = 0;
  if (problem.draws.device_step != nullptr) {
    step = problem.draws.device_step->next;
    if (step >= problem.draws.device_step->end) fault = __int_as_float(0x7fffffff);
  }
  const auto lane = threadIdx.x % 32;
  const int blocks = (problem.head_dim + 31) / 32;
  float4* staged = rows.staged;
#pragma unroll 1
  for (int group = 0; group < rows.groups; ++group) {
    const int row = rows.first_row + 16 * group;
    if (row >= rows.queries) return;
    const int lower = row + static_cast<int>(lane / 4);
    const float sigma[2] = {noise_of(problem, rows.head, lower, rows.queries, fault),
                            noise_of(problem, rows.head, lower + 8, rows.queries, fault)};
#pragma unroll 1
    for (int block = 0; block < blocks; ++block, staged += 128) {
      float x[16];
#pragma unroll
      for (int q = 0; q < 4; ++q) *reinterpret_cast<float4*>(&x[4 * q]) = staged[32 * q + lane];
      __syncwarp();
      if (clean.first_row != nullptr) store_block(clean, staged, x, row, rows.queries, 32 * block, problem.head_dim);
      float z[16];
      normals_of<Source>(
          key,
          draw::attention_group(rows.plane, static_cast<std::uint32_t>(row / 16), static_cast<std::uint32_t>(block)),
          lane, step, problem.draws.stream, z);
#pragma unroll
      for (int i = 0; i < 16; ++i) x[i] = draw::fma(sigma[i % 4 / 2], z[i], x[i]);
      store_block(out, staged, x, row, rows.queries, 32 * block, problem.head_dim);
    }
  }
}

}  // namespace dpflash::attention::cuda::sm80
