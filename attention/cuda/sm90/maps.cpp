#include "cuda/sm90/maps.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <string>

#include "dpflash/gpu/error.hpp"

namespace dpflash::attention::cuda {
namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                            const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/// The driver's encoder, found at run time so that nothing links to the driver.
Encode encoder() {
  static const Encode found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    gpu::check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result),
               "cudaGetDriverEntryPointByVersion");
    if (result != cudaDriverEntryPointSuccess || function == nullptr)
      throw gpu::DeviceError("cuTensorMapEncodeTiled: the driver does not have it");
    return reinterpret_cast<Encode>(function);
  }();
  return found;
}

/// Sizes of (columns, rows, heads, batch) and strides of the last three, in elements.
struct Extent {
  std::array<std::int64_t, 4> size;
  std::array<std::int64_t, 3> stride;
};

Extent extent_of(const View& view, const Forward& problem, bool queries) {
  const bool packed = problem.cumulative_q != nullptr;
  const std::int64_t rows = packed ? (queries ? problem.total_q : problem.total_k)
                                   : (queries ? std::int64_t{problem.rows} : std::int64_t{problem.keys});
  return {{problem.head_dim, rows, queries ? problem.heads : problem.kv_heads, packed ? 1 : problem.batch},
          {view.row_stride, view.head_stride, packed ? 0 : view.batch_stride}};
}

/// Whether stride number i is ever used.
bool moves(const Extent& e, std::size_t i) { return e.size[1] > 0 && e.size[i + 1] > 1; }

constexpr std::int64_t kMaxStride = (std::int64_t{1} << 40) / 2;

}  // namespace

bool takes_view(const View& view, const Forward& problem, bool queries) {
  if (reinterpret_cast<std::uintptr_t>(view.data) % 16 != 0) return false;
  const Extent e = extent_of(view, problem, queries);
  for (std::size_t i = 0; i < 3; ++i) {
    if (!moves(e, i)) continue;
    if (e.stride[i] <= 0 || e.stride[i] % 8 != 0 || e.stride[i] >= kMaxStride) return false;
  }
  return true;
}

CUtensorMap map_of(const View& view, const Forward& problem, bool queries, int box_rows) {
  const Extent e = extent_of(view, problem, queries);
  cuuint64_t sizes[4];
  cuuint64_t strides[3];
  for (std::size_t i = 0; i < 4; ++i) sizes[i] = static_cast<cuuint64_t>(std::max<std::int64_t>(1, e.size[i]));
  // A stride that is never used must be valid all the same.
  for (std::size_t i = 0; i < 3; ++i) strides[i] = moves(e, i) ? 2 * static_cast<cuuint64_t>(e.stride[i]) : 16;
  // A tensor without rows may have no memory; it is never read, but its map must be valid.
  void* const data = view.data != nullptr ? view.data : problem.q.data;
  const cuuint32_t box[4] = {64, static_cast<cuuint32_t>(box_rows), 1, 1};
  const cuuint32_t steps[4] = {1, 1, 1, 1};
  CUtensorMap map;
  const CUresult result = encoder()(
      &map, problem.element == Element::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4,
      data, sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    throw gpu::DeviceError("cuTensorMapEncodeTiled: error " + std::to_string(static_cast<int>(result)));
  return map;
}

int multiprocessors() {
  int device = 0;
  int count = 0;
  gpu::check(cudaGetDevice(&device), "cudaGetDevice");
  gpu::check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  return count;
}

}  // namespace dpflash::attention::cuda
