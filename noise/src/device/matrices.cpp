#include "device/draw_access.hpp"
#include "dpflash/noise/device_matrices.hpp"
#include "kernels/noise.hpp"
#include "kernels/structured.hpp"
#include "structure/checks.hpp"

namespace dpflash::noise {

using namespace structure;

DeviceLowRank::DeviceLowRank(const LowRank& mechanism, gpu::StreamHandle stream)
    : rows_(mechanism.rows()),
      columns_(mechanism.columns()),
      rank_(mechanism.rank()),
      scale_(mechanism.scale()),
      basis_(gpu::upload<float>(mechanism.basis().values, stream)),
      subspace_(mechanism.draws()),
      partial_(gpu::project_work({rows_, rank_, columns_})) {
  gpu::synchronise(stream);
}

bool DeviceLowRank::projects_in_order() const noexcept {
  return columns_ > 1 && gpu::project_slabs({rows_, rank_, columns_}) == 1;
}

void DeviceLowRank::project(gpu::DeviceSpan<const float> sum, gpu::DeviceSpan<float> subspace,
                            gpu::StreamHandle stream) {
  check_size(sum.size, size(), "sum");
  check_size(subspace.size, draws(), "subspace");
  gpu::project({rows_, rank_, columns_}, basis_.data(), sum.data, partial_.data(), subspace.data, stream);
}

void DeviceLowRank::privatise_projected(gpu::DeviceSpan<float> subspace, const DrawFrom& from,
                                        gpu::StreamHandle stream) const {
  check_size(subspace.size, draws(), "subspace");
  const TakenDraws taken = DrawAccess::take(from, 0, draws(), stream);
  gpu::add_normal(taken.draws, gpu::Element::f32, subspace.data, subspace.size, gpu::OneScale{scale_}, stream);
  DrawAccess::launched(taken, stream);
}

void DeviceLowRank::lift(gpu::DeviceSpan<const float> subspace, gpu::DeviceSpan<float> out,
                         gpu::StreamHandle stream) const {
  check_size(subspace.size, draws(), "subspace");
  check_size(out.size, size(), "out");
  gpu::lift({rows_, rank_, columns_}, basis_.data(), subspace.data, out.data, stream);
}

void DeviceLowRank::privatise(gpu::DeviceSpan<float> sum, const DrawFrom& from, gpu::StreamHandle stream) {
  check_size(sum.size, size(), "sum");
  const TakenDraws taken = DrawAccess::take(from, 0, draws(), stream);
  project({sum.data, sum.size}, subspace_.span(), stream);
  gpu::add_normal(taken.draws, gpu::Element::f32, subspace_.data(), draws(), gpu::OneScale{scale_}, stream);
  DrawAccess::launched(taken, stream);
  lift({subspace_.data(), draws()}, sum, stream);
}

struct DeviceMatrixVariate::State {
  State(const MatrixVariate& mechanism, gpu::StreamHandle stream)
      : rows(mechanism.rows()),
        columns(mechanism.columns()),
        scale(mechanism.scale()),
        a(gpu::upload(mechanism.row_factor(), stream)),
        b(gpu::upload(mechanism.column_factor(), stream)),
        draws(rows * columns),
        z(rows * columns),
        middle(rows * columns) {}

  std::size_t rows;
  std::size_t columns;
  float scale;
  gpu::Blas blas;
  gpu::Buffer<double> a;
  gpu::Buffer<double> b;
  gpu::Buffer<float> draws;
  gpu::Buffer<double> z;
  gpu::Buffer<double> middle;
};

DeviceMatrixVariate::DeviceMatrixVariate(const MatrixVariate& mechanism, gpu::StreamHandle stream)
    : state_(std::make_unique<State>(mechanism, stream)) {
  gpu::synchronise(stream);
}

DeviceMatrixVariate::DeviceMatrixVariate(DeviceMatrixVariate&&) noexcept = default;
DeviceMatrixVariate& DeviceMatrixVariate::operator=(DeviceMatrixVariate&&) noexcept = default;
DeviceMatrixVariate::~DeviceMatrixVariate() = default;

std::size_t DeviceMatrixVariate::size() const noexcept { return state_->rows * state_->columns; }

void DeviceMatrixVariate::privatise(gpu::DeviceSpan<float> sum, const DrawFrom& from, gpu::StreamHandle stream) {
  check_size(sum.size, size(), "sum");
  const TakenDraws taken = DrawAccess::take(from, 0, size(), stream);
  State& s = *state_;
  gpu::fill_normal(taken.draws, s.draws.data(), size(), stream);
  DrawAccess::launched(taken, stream);
  gpu::widen(s.draws.data(), s.z.data(), size(), stream);
  s.blas.two_sided(s.rows, s.columns, s.a.data(), s.b.data(), s.z.data(), s.middle.data(), s.z.data(), stream);
  gpu::add_rounded(s.scale, s.z.data(), sum.data, size(), stream);
}

}  // namespace dpflash::noise
