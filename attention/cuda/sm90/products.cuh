// Products of a warpgroup: 64 rows of A times B in shared memory, accumulated in registers.
#pragma once

#include <cstdint>

#include "cuda/sm90/ptx.cuh"

namespace dpflash::attention::cuda {

/// An operand in shared memory with the 128-byte swizzle: rows of 128 bytes, groups of 8 rows 1024 bytes apart,
/// 64-element columns of the tile `column_bytes` apart (read only when the long side of B is contiguous).
struct Operand {
  std::uint32_t low;

  __device__ __forceinline__ Operand(std::uint32_t address, std::uint32_t column_bytes)
      : low(__shfl_sync(0xffffffffu, ((address & 0x3ffffu) >> 4) | (column_bytes >> 4 << 16), 0)) {}
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
#define DPF_D32 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define DPF_D40 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39}"
#define DPF_D48 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}"
#define DPF_D64 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define DPF_D88 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87}"
#define DPF_D96 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95}"
#define DPF_D128 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}"
#define DPF_F8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define DPF_A32 DPF_F8(0), DPF_F8(8), DPF_F8(16), DPF_F8(24)
#define DPF_A40 DPF_F8(0), DPF_F8(8), DPF_F8(16), DPF_F8(24), DPF_F8(32)
#define DPF_A48 DPF_F8(0), DPF_F8(8), DPF_F8(16), DPF_F8(24), DPF_F8(32), DPF_F8(40)
#define DPF_A64 DPF_F8(0), DPF_F8(8), DPF_F8(16), DPF_F8(24), DPF_F8(32), DPF_F8(40), DPF_F8(48), DPF_F8(56)
#define DPF_A88 DPF_F8(0), DPF_F8(8), DPF_F8(16), DPF_F8(24), DPF_F8(32), DPF_F8(40), DPF_F8(48), DPF_F8(56), DPF_F8(64), DPF_F8(72), DPF_F8(80)
#define DPF_A96 DPF_F8(0), DPF_F8(8), DPF_F8(16), DPF_F8(24), DPF_F8(32), DPF_F8(40), DPF_F8(48), DPF_F8(56), DPF_F8(64), DPF_F8(72), DPF_F8(80), DPF_F8(88)
#define DPF_A128 DPF_F8(0), DPF_F8(8), DPF_F8(16), DPF_F8(24), DPF_F8(32), DPF_F8(40), DPF_F8(48), DPF_F8(56), DPF_F8(64), DPF_F8(72), DPF_F8(80), DPF_F8(88), DPF_F8(96), DPF_F8(104), DPF_F8(112), DPF_F8(120)
#define DPF_SCORES_64(f16, name) \
  template <> struct ScoreProduct<64, f16> { \
    __device__ __forceinline__ static void add(float (&d)[32], std::uint64_t a, std::uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32." name "." name " " \
                   DPF_D32 ", %32, %33, p, 1, 1, 0, 0;\n}\n" : DPF_A32 : "l"(a), "l"(b), "r"(accumulate)); } };
#define DPF_VALUES_64(f16, name) \
  template <> struct ValueProduct<64, f16> { \
    __device__ __forceinline__ static void add(float (&d)[32], const std::uint32_t* a, std::uint64_t b) { \
      asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32." name "." name " " \
                   DPF_D32 ", {%32, %33, %34, %35}, %36, p, 1, 1, 1;\n}\n" : DPF_A32 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)); } };
#define DPF_SCORES_80(f16, name) \
  template <> struct ScoreProduct<80, f16> { \
    __device__ __forceinline__ static void add(float (&d)[40], std::uint64_t a, std::uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %42, 0;\nwgmma.mma_async.sync.aligned.m64n80k16.f32." name "." name " " \
                   DPF_D40 ", %40, %41, p, 1, 1, 0, 0;\n}\n" : DPF_A40 : "l"(a), "l"(b), "r"(accumulate)); } };
#define DPF_VALUES_80(f16, name) \
  template <> struct ValueProduct<80, f16> { \
    __device__ __forceinline__ static void add(float (&d)[40], const std::uint32_t* a, std::uint64_t b) { \
      asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n80k16.f32." name "." name " " \
                   DPF_D40 ", {%40, %41, %42, %43}, %44, p, 1, 1, 1;\n}\n" : DPF_A40 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)); } };
#define DPF_SCORES_96(f16, name) \
  template <> struct ScoreProduct<96, f16> { \
    __device__ __forceinline__ static void add(float (&d)[48], std::uint64_t a, std::uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\nwgmma.mma_async.sync.aligned.m64n96k16.f32." name "." name " " \
                   DPF_D48 ", %48, %49, p, 1, 1, 0, 0;\n}\n" : DPF_A48 : "l"(a), "l"(b), "r"(accumulate)); } };
#define DPF_VALUES_96(f16, name) \
  template <> struct ValueProduct<96, f16> { \
    __device__ __forceinline__ static void add(float (&d)[48], const std::uint32_t* a, std::uint64_t b) { \
      asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n96k16.f32." name "." name " " \
                   DPF_D48 ", {%48, %49, %50, %51}, %52, p, 1, 1, 1;\n}\n" : DPF_A48 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)); } };
#define DPF_SCORES_128(f16, name) \
  template <> struct ScoreProduct<128, f16> { \
    __device__ __forceinline__ static void add(float (&d)[64], std::uint64_t a, std::uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32." name "." name " " \
                   DPF_D64 ", %64, %65, p, 1, 1, 0, 0;\n}\n" : DPF_A64 : "l"(a), "l"(b), "r"(accumulate)); } };
#define DPF_VALUES_128(f16, name) \
  template <> struct ValueProduct<128, f16> { \
    __device__ __forceinline__ static void add(float (&d)[64], const std::uint32_t* a, std::uint64_t b) { \
      asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32." name "." name " " \
                   DPF_D64 ", {%64, %65, %66, %67}, %68, p, 1, 1, 1;\n}\n" : DPF_A64 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)); } };
#define DPF_SCORES_176(f16, name) \
  template <> struct ScoreProduct<176, f16> { \
    __device__ __forceinline__ static void add(float (&d)[88], std::uint64_t a, std::uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %90, 0;\nwgmma.mma_async.sync.aligned.m64n176k16.f32." name "." name " " \
                   DPF_D88 ", %88, %89, p, 1, 1, 0, 0;\n}\n" : DPF_A88 : "l"(a), "l"(b), "r"(accumulate)); } };
#define DPF_VALUES_176(f16, name) \
  template <> struct ValueProduct<176, f16> { \
    __device__ __forceinline__ static void add(float (&d)[88], const std::uint32_t* a, std::uint64_t b) { \
      asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n176k16.f32." name "." name " " \
                   DPF_D88 ", {%88, %89, %90, %91}, %92, p, 1, 1, 1;\n}\n" : DPF_A88 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)); } };
#define DPF_SCORES_192(f16, name) \
  template <> struct ScoreProduct<192, f16> { \
    __device__ __forceinline__ static void add(float (&d)[96], std::uint64_t a, std::uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %98, 0;\nwgmma.mma_async.sync.aligned.m64n192k16.f32." name "." name " " \
                   DPF_D96 ", %96, %97, p, 1, 1, 0, 0;\n}\n" : DPF_A96 : "l"(a), "l"(b), "r"(accumulate)); } };
#define DPF_VALUES_192(f16, name) \
  template <> struct ValueProduct<192, f16> { \
    __device__ __forceinline__ static void add(float (&d)[96], const std::uint32_t* a, std::uint64_t b) { \
      asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n192k16.f32." name "." name " " \
                   DPF_D96 ", {%96, %97, %98, %99}, %100, p, 1, 1, 1;\n}\n" : DPF_A96 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)); } };
#define DPF_SCORES_256(f16, name) \
  template <> struct ScoreProduct<256, f16> { \
    __device__ __forceinline__ static void add(float (&d)[128], std::uint64_t a, std::uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32." name "." name " " \
                   DPF_D128 ", %128, %129, p, 1, 1, 0, 0;\n}\n" : DPF_A128 : "l"(a), "l"(b), "r"(accumulate)); } };
#define DPF_VALUES_256(f16, name) \
  template <> struct ValueProduct<256, f16> { \
    __device__ __forceinline__ static void add(float (&d)[128], const std::uint32_t* a, std::uint64_t b) { \
      asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32." name "." name " " \
                   DPF_D128 ", {%128, %129, %130, %131}, %132, p, 1, 1, 1;\n}\n" : DPF_A128 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)); } };
DPF_SCORES_64(false, "bf16")
DPF_SCORES_64(true, "f16")
DPF_SCORES_80(false, "bf16")
DPF_SCORES_80(true, "f16")
DPF_SCORES_128(false, "bf16")
DPF_SCORES_128(true, "f16")
DPF_SCORES_176(false, "bf16")
DPF_SCORES_176(true, "f16")
DPF_VALUES_64(false, "bf16")
DPF_VALUES_64(true, "f16")
DPF_VALUES_80(false, "bf16")
DPF_VALUES_80(true, "f16")
DPF_VALUES_96(false, "bf16")
DPF_VALUES_96(true, "f16")
DPF_VALUES_128(false, "bf16")
DPF_VALUES_128(true, "f16")
DPF_VALUES_192(false, "bf16")
DPF_VALUES_192(true, "f16")
DPF_VALUES_256(false, "bf16")
DPF_VALUES_256(true, "f16")
#undef DPF_SCORES_64
#undef DPF_VALUES_64
#undef DPF_D32
#undef DPF_A32
#undef DPF_SCORES_80
#undef DPF_VALUES_80
#undef DPF_D40
#undef DPF_A40
#undef DPF_SCORES_96
#undef DPF_VALUES_96
#undef DPF_D48
#undef DPF_A48
#undef DPF_SCORES_128
#undef DPF_VALUES_128
#undef DPF_D64
#undef DPF_A64
#undef DPF_SCORES_176
#undef DPF_VALUES_176
#undef DPF_D88
#undef DPF_A88
#undef DPF_SCORES_192
#undef DPF_VALUES_192
#undef DPF_D96
#undef DPF_A96
#undef DPF_SCORES_256
#undef DPF_VALUES_256
#undef DPF_D128
#undef DPF_A128
#undef DPF_F8
// clang-format on

}  // namespace dpflash::attention::cuda
