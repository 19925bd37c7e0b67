// Tiles in shared memory, asynchronous copies and matrix instructions of compute capability 8.0 (PTX ISA 9.7.9 and
// 9.7.14: ldmatrix, mma.m16n8k16, cp.async).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace dpflash::attention::cuda::sm80 {

inline constexpr int kWarp = 32;

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// 16 bytes to shared memory: `bytes` of them copied (0 or 16), the rest zero. With 0 nothing is read.
__device__ __forceinline__ void copy_16(std::uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void copy_8(std::uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Until at most `open` of this thread's groups of copies are under way.
template <int open>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(open) : "memory");
}

/// Four 8x8 matrices: lane l names row l % 8 of matrix l / 8; it gets columns 2 (l % 4), +1 of row l / 4 of each.
__device__ __forceinline__ void load_matrices(std::uint32_t (&x)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(row)
               : "memory");
}
/// The same of the transposed matrices: lane l gets rows 2 (l % 4), +1 of column l / 4.
__device__ __forceinline__ void load_transposed(std::uint32_t (&x)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(row)
               : "memory");
}

/// c += a b, a 16 x 16, b 16 x 8. With g = lane / 4 and t = lane % 4 a lane holds
/// a[0] (g; 2t, 2t+1), a[1] (g+8; 2t, 2t+1), a[2] (g; 2t+8, 2t+9), a[3] (g+8; 2t+8, 2t+9),
/// b0 (2t, 2t+1; g), b1 (2t+8, 2t+9; g), c (g; 2t), (g; 2t+1), (g+8; 2t), (g+8; 2t+1).
template <class T>
__device__ __forceinline__ void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                         std::uint32_t b1);
template <>
__device__ __forceinline__ void multiply<__nv_bfloat16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                        std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiply<__half>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                 std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Two probabilities rounded to the element; the instruction names the upper one first. To nearest in bf16, where the
/// charge u_p counts half an ulp; toward zero in fp16, where numbers may leave the normal ones and half an ulp be
/// anything.
template <class T>
__device__ __forceinline__ std::uint32_t pair_of_probabilities(float low, float high);
template <>
__device__ __forceinline__ std::uint32_t pair_of_probabilities<__nv_bfloat16>(float low, float high) {
  std::uint32_t x;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(x) : "f"(high), "f"(low));
  return x;
}
template <>
__device__ __forceinline__ std::uint32_t pair_of_probabilities<__half>(float low, float high) {
  std::uint32_t x;
  asm("cvt.rz.f16x2.f32 %0, %1, %2;" : "=r"(x) : "f"(high), "f"(low));
  return x;
}

/// 2^x with relative error 2^-22; 0 at -infinity.
__device__ __forceinline__ float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// The same value, which the compiler takes for a new one: what is computed from it in a loop is not kept in registers
/// from one iteration to the next.
template <class Value>
__device__ __forceinline__ Value afresh(Value x) {
  asm volatile("" : "+r"(x));
  return x;
}

/// Rows of a tile, head_dim elements of two bytes each, in chunks of 16 bytes whose lowest bits are mixed with the
/// row's: the eight rows that one matrix of ldmatrix reads at one chunk lie in different banks. Rows of an odd multiple
/// of 64 bytes already alternate between halves of the 128 bytes of all banks: there two bits do.
template <int head_dim>
struct TileRows {
  static_assert(head_dim % 32 == 0);
  static constexpr int bytes = 2 * head_dim;
  static constexpr int span = head_dim % 64 == 0 ? 8 : 4;  // chunks that are permuted among themselves

  __device__ __forceinline__ static std::uint32_t offset(int row, int chunk) {
    const int mixed = chunk ^ (span == 8 ? row & 7 : (row >> 1) & 3);
    return static_cast<std::uint32_t>(row * bytes + mixed * 16);
  }

  /// Address of chunk 2 step + c of a row from that of its chunk c, c = 0, 1. Tiles start at multiples of 128 bytes, so
  /// the bits below `span` chunks are the mixed ones alone.
  __device__ __forceinline__ static std::uint32_t ahead(std::uint32_t address, int step) {
    constexpr int steps = span / 2;
    return (address ^ static_cast<std::uint32_t>(step % steps * 32)) +
           static_cast<std::uint32_t>(step / steps * span * 16);
  }
};

/// Copies rows of one head to tiles, by all threads of a block.
template <class T, int head_dim, int threads>
struct TileCopy {
  using Rows = TileRows<head_dim>;
  const T* first_row;
  std::int64_t row_stride;
  int head_chunks;  ///< chunks that exist; the rest of a row is zero
  bool aligned;

  /// Rows first .. first + count of the sequence, zero from row `end` on and where wanted(row of the tile) is false.
  /// They are there once the thread's copies are waited for and the block has met.
  template <int count, class Wanted>
  __device__ __forceinline__ void operator()(std::uint32_t tile, int first, int end, Wanted&& wanted) const {
    constexpr int at_once = threads / Rows::span;
    static_assert(at_once % 8 == 0 && count % at_once == 0);
    const int thread = afresh(static_cast<int>(threadIdx.x));
    const int chunk = thread % Rows::span;
    // at_once is a multiple of 8: all rows of a thread are mixed alike.
    const std::uint32_t to = tile + Rows::offset(thread / Rows::span, chunk);
    if (!aligned) return by_element<count>(tile, first, end, wanted);
    // Rows that are not taken have an address too, which nothing is read from.
    const T* from = first_row + (first + thread / Rows::span) * row_stride + chunk * 8;
#pragma unroll
    for (int pass = 0; pass < count / at_once; ++pass, from += at_once * row_stride) {
      const int row = thread / Rows::span + pass * at_once;
      const bool take = first + row < end && wanted(row);
#pragma unroll
      for (int i = 0; i < head_dim / 8 / Rows::span; ++i)
        copy_16(to + static_cast<std::uint32_t>(pass * at_once * Rows::bytes + i * Rows::span * 16),
                from + i * Rows::span * 8, take && chunk + i * Rows::span < head_chunks ? 16 : 0);
    }
  }

 private:
  /// Rows at any multiple of 2 bytes, two bytes at a time.
  template <int count, class Wanted>
  __device__ __forceinline__ void by_element(std::uint32_t tile, int first, int end, Wanted&& wanted) const {
#pragma unroll 1
    for (int e = static_cast<int>(threadIdx.x); e < count * head_dim; e += threads) {
      const int row = e / head_dim;
      const int column = e % head_dim;
      const bool take = first + row < end && column < head_chunks * 8 && wanted(row);
      unsigned short x = 0;
      if (take) x = reinterpret_cast<const unsigned short*>(first_row)[(first + row) * row_stride + column];
      asm volatile("st.shared.u16 [%0], %1;" ::"r"(tile + Rows::offset(row, column / 8) +
                                                   static_cast<std::uint32_t>(column % 8 * 2)),
                   "h"(x)
                   : "memory");
    }
  }
};

}  // namespace dpflash::attention::cuda::sm80
