#include <cublas_v2.h>

#include <string>

#include "dpflash/gpu/error.hpp"
#include "draw/arith.hpp"
#include "kernels/structured.hpp"

namespace dpflash::gpu {

namespace {

constexpr unsigned kThreads = 256;
/// What cuBLAS asks for on compute capability 9.0; it then never allocates.
constexpr std::size_t kWorkBytes = std::size_t{32} << 20;

void check_cublas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) throw DeviceError(std::string(call) + ": " + cublasGetStatusString(status));
}

__global__ void widen_kernel(const float* from, double* to, std::uint64_t size) {
  const std::uint64_t i = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < size) to[i] = static_cast<double>(from[i]);
}

__global__ void add_rounded_kernel(float scale, const double* noise, float* sum, std::uint64_t size) {
  const std::uint64_t i = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < size) sum[i] = draw::fma(scale, static_cast<float>(noise[i]), sum[i]);
}

unsigned blocks_of(std::uint64_t size) { return static_cast<unsigned>((size + kThreads - 1) / kThreads); }

}  // namespace

Blas::Blas() : work_(kWorkBytes) {
  cublasHandle_t handle = nullptr;
  check_cublas(cublasCreate(&handle), "cublasCreate");
  handle_ = handle;
  check_cublas(cublasSetMathMode(handle, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
}

Blas::~Blas() {
  if (handle_ != nullptr) static_cast<void>(cublasDestroy(static_cast<cublasHandle_t>(handle_)));
}

void Blas::two_sided(std::uint64_t rows, std::uint64_t columns, const double* a, const double* b, const double* z,
                     double* middle, double* out, StreamHandle stream) {
  const auto handle = static_cast<cublasHandle_t>(handle_);
  check_cublas(cublasSetStream(handle, stream), "cublasSetStream");
  check_cublas(cublasSetWorkspace(handle, work_.data(), work_.bytes()), "cublasSetWorkspace");
  const auto m = static_cast<int>(columns);
  const auto n = static_cast<int>(rows);
  const double one = 1;
  // cuBLAS reads by columns: it sees Z^T, and A^T and B^T as upper triangles. (A Z)^T = Z^T A^T, then B times that.
  check_cublas(cublasDtrmm(handle, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT, m, n,
                           &one, a, n, z, m, middle, m),
               "cublasDtrmm");
  check_cublas(cublasDtrmm(handle, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_T, CUBLAS_DIAG_NON_UNIT, m, n,
                           &one, b, m, middle, m, out, m),
               "cublasDtrmm");
}

void widen(const float* narrow, double* wide, std::uint64_t size, StreamHandle stream) {
  widen_kernel<<<blocks_of(size), kThreads, 0, stream>>>(narrow, wide, size);
  check_launch("widen");
}

void add_rounded(float scale, const double* noise, float* sum, std::uint64_t size, StreamHandle stream) {
  add_rounded_kernel<<<blocks_of(size), kThreads, 0, stream>>>(scale, noise, sum, size);
  check_launch("add_rounded");
}

}  // namespace dpflash::gpu
