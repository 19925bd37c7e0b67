// Low-rank and matrix-variate noise on a CUDA device. What holds for all calls: device.hpp.
#pragma once

#include <cstdint>
#include <dpflash/noise/device.hpp>
#include <dpflash/noise/low_rank.hpp>
#include <dpflash/noise/matrix_variate.hpp>
#include <memory>

namespace dpflash::noise {

/// LowRank's basis on the device, with work space for one sum.
class DeviceLowRank {
 public:
  DeviceLowRank(const LowRank& mechanism, gpu::StreamHandle stream);

  [[nodiscard]] std::size_t size() const noexcept { return rows_ * columns_; }
  /// Numbers in the subspace.
  [[nodiscard]] std::size_t draws() const noexcept { return rank_ * columns_; }

  /// Replaces the sum (rows x columns, row-major) by U (U^T sum + scale Z).
  void privatise(gpu::DeviceSpan<float> sum, const DrawFrom& from, gpu::StreamHandle stream);
  /// The three steps apart. Products are exact and added in double, then rounded once, in an order that depends on the
  /// sizes alone: privatise_projected and lift give the host's bits; project does where projects_in_order(), and else
  /// the double sum may differ in its last bits.
  void project(gpu::DeviceSpan<const float> sum, gpu::DeviceSpan<float> subspace, gpu::StreamHandle stream);
  void privatise_projected(gpu::DeviceSpan<float> subspace, const DrawFrom& from, gpu::StreamHandle stream) const;
  void lift(gpu::DeviceSpan<const float> subspace, gpu::DeviceSpan<float> out, gpu::StreamHandle stream) const;
  /// Whether project adds row after row, as the host: matrices with enough columns to occupy a device.
  [[nodiscard]] bool projects_in_order() const noexcept;

 private:
  std::size_t rows_;
  std::size_t columns_;
  std::size_t rank_;
  float scale_;
  gpu::Buffer<float> basis_;
  gpu::Buffer<float> subspace_;
  gpu::Buffer<double> partial_;
};

/// MatrixVariate's factors on the device: 8 (rows^2 + columns^2 + 2 rows columns) + 4 rows columns bytes.
class DeviceMatrixVariate {
 public:
  DeviceMatrixVariate(const MatrixVariate& mechanism, gpu::StreamHandle stream);
  DeviceMatrixVariate(DeviceMatrixVariate&&) noexcept;
  DeviceMatrixVariate& operator=(DeviceMatrixVariate&&) noexcept;
  ~DeviceMatrixVariate();

  [[nodiscard]] std::size_t size() const noexcept;
  /// Adds scale A Z B^T (row-major). Products by cuBLAS in binary64, as on the host; the order of additions is
  /// cuBLAS's, so that an element differs from the host's in its last bit at times.
  void privatise(gpu::DeviceSpan<float> sum, const DrawFrom& from, gpu::StreamHandle stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dpflash::noise
