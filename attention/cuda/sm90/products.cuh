// Products of a warpgroup: 64 rows of A times B in shared memory, accumulated in registers.
#pragma once

#include <cstdint>

#include "cuda/sm90/ptx.cuh"

namespace dpflash::attention::cuda {

/// A number that all lanes of a warp have, so told to the compiler: it goes to registers that a warp shares.
__device__ __forceinline__ std::uint32_t uniform(std::uint32_t x) { return __shfl_sync(0xffffffffu, x, 0); }

/// An operand in shared memory with the 128-byte swizzle: rows of 128 bytes, groups of 8 rows 1024 bytes apart,
/// 64-element columns of the tile `column_bytes` apart (read only when the long side of B is contiguous).
struct Operand {
  std::uint32_t low;

  __device__ __forceinline__ Operand(std::uint32_t address, std::uint32_t column_bytes)
      : low(uniform(((address & 0x3ffffu) >> 4) | (column_bytes >> 4 << 16))) {}
  /// The same, a multiple of 16 bytes further on, which warps agree on.
  __device__ __forceinline__ Operand operator+(std::uint32_t bytes) const {
    Operand moved = *this;
    moved.low += bytes >> 4;
    return moved;
  }
  /// The same, `bytes` further on.
  __device__ __forceinline__ std::uint64_t at(std::uint32_t bytes) const {
    constexpr std::uint64_t fixed = (std::uint64_t{1024 >> 4} << 32) | (std::uint64_t{1} << 62);
    return fixed | (low + (bytes >> 4));
  }
};

__device__ __forceinline__ void product_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void product_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Until at most `pending` committed groups are under way.
template <int pending>
__device__ __forceinline__ void product_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/// A value that the compiler must not move across products that are under way.
template <int count>
__device__ __forceinline__ void pin(float (&x)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) asm volatile("" : "+f"(x[i])::"memory");
}

/// d = (accumulate ? d : 0) + A B over 16 terms; both operands K-major in shared memory. `columns` of B.
template <int columns, bool f16>
struct ScoreProduct;
/// d += A B over 16 terms; A in registers, B with its long side contiguous.
template <int columns, bool f16>
struct ValueProduct;

// clang-format off
// Lists of registers: names in the instruction, and the accumulators they stand for.
#define DPF_R32 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define DPF_R40 DPF_R32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define DPF_R48 DPF_R40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define DPF_R64 DPF_R48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define DPF_EIGHT(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define DPF_A32 DPF_EIGHT(0), DPF_EIGHT(8), DPF_EIGHT(16), DPF_EIGHT(24)
#define DPF_A40 DPF_A32, DPF_EIGHT(32)
#define DPF_A48 DPF_A40, DPF_EIGHT(40)
#define DPF_A64 DPF_A48, DPF_EIGHT(48), DPF_EIGHT(56)
// `columns` of B, `count` accumulators a thread; then the names of the operands behind them.
#define DPF_SCORES_OF(columns, count, a_name, b_name, flag, f16, type) \
  template <> struct ScoreProduct<columns, f16> { \
    __device__ __forceinline__ static void add(float (&d)[count], std::uint64_t a, std::uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " flag ", 0;\n" \
                   "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " {" DPF_R##count "}, " a_name ", " b_name ", p, 1, 1, 0, 0;\n}\n" \
                   : DPF_A##count : "l"(a), "l"(b), "r"(accumulate)); } };
#define DPF_VALUES_OF(columns, count, a_names, b_name, f16, type) \
  template <> struct ValueProduct<columns, f16> { \
    __device__ __forceinline__ static void add(float (&d)[count], const std::uint32_t* a, std::uint64_t b) { \
      asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\n" \
                   "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " {" DPF_R##count "}, {" a_names "}, " b_name ", p, 1, 1, 1;\n}\n" \
                   : DPF_A##count : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)); } };
#define DPF_SCORES(columns, count, a_name, b_name, flag) \
  DPF_SCORES_OF(columns, count, a_name, b_name, flag, false, "bf16") \
  DPF_SCORES_OF(columns, count, a_name, b_name, flag, true, "f16")
#define DPF_VALUES(columns, count, a_names, b_name) \
  DPF_VALUES_OF(columns, count, a_names, b_name, false, "bf16") \
  DPF_VALUES_OF(columns, count, a_names, b_name, true, "f16")
DPF_SCORES(80, 40, "%40", "%41", "%42")
DPF_SCORES(128, 64, "%64", "%65", "%66")
DPF_VALUES(64, 32, "%32, %33, %34, %35", "%36")
DPF_VALUES(80, 40, "%40, %41, %42, %43", "%44")
DPF_VALUES(96, 48, "%48, %49, %50, %51", "%52")
DPF_VALUES(128, 64, "%64, %65, %66, %67", "%68")
#undef DPF_SCORES
#undef DPF_VALUES
#undef DPF_SCORES_OF
#undef DPF_VALUES_OF
#undef DPF_EIGHT
#undef DPF_R32
#undef DPF_A32
#undef DPF_R40
#undef DPF_A40
#undef DPF_R48
#undef DPF_A48
#undef DPF_R64
#undef DPF_A64
// clang-format on

}  // namespace dpflash::attention::cuda
