#include <array>
#include <dpflash/gpu/error.hpp>
#include <dpflash/gpu/stream.hpp>
#include <dpflash/noise/device_gradient.hpp>
#include <dpflash/noise/sampling.hpp>
#include <stdexcept>

#include "device_trainer.hpp"
#include "privacy.hpp"

namespace dpsgd {

namespace noise = dpflash::noise;
namespace gpu = dpflash::gpu;

namespace {

constexpr unsigned kThreads = 64;

unsigned blocks_for(std::size_t items) { return static_cast<unsigned>((items + kThreads - 1) / kThreads); }

struct Widths {
  std::uint64_t tensor[kMostTensors];
};

/// A thread an example: row b of every tensor is the gradient of record batch[b].
template <class Model>
__global__ void differentiate_kernel(Parameters parameters, const float* images, const int* labels,
                                     const std::uint64_t* batch, std::uint64_t examples, Gradient rows, Widths widths) {
  const std::uint64_t b = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (b >= examples) return;
  Gradient gradient{};
  for (int t = 0; t < Model::kTensors; ++t) gradient.tensor[t] = rows.tensor[t] + b * widths.tensor[t];
  Model::gradient(parameters, images + batch[b] * kPixels, labels[batch[b]], gradient);
}

/// Without privacy: the plain sum over the declared batch size.
__global__ void average_kernel(const float* rows, std::uint64_t examples, std::uint64_t width, float batch,
                               float* out) {
  const std::uint64_t j = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (j >= width) return;
  float sum = 0;
  for (std::uint64_t b = 0; b < examples; ++b) sum += rows[b * width + j] / batch;
  out[j] = sum;
}

__global__ void update_kernel(float* values, float* velocity, const float* step, std::uint64_t width, float momentum,
                              float rate) {
  const std::uint64_t j = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (j >= width) return;
  velocity[j] = momentum * velocity[j] + step[j];
  values[j] -= rate * velocity[j];
}

template <class Model>
class DeviceTrainer {
 public:
  DeviceTrainer(const Setup& setup, const Digits& digits, noise::NoiseSource& source,
                const std::optional<noise::Calibration>& calibration)
      : setup_(setup), digits_(digits), source_(source) {
    if (calibration) privacy_.emplace(setup, Model::kShapes, *calibration);
    pixels_ = gpu::upload<float>(digits.train.pixels, stream_.handle());
    labels_ = gpu::upload<int>(digits.train.labels, stream_.handle());
    indices_ = gpu::Buffer<std::uint64_t>(digits.train.size());
    place_tensors();
    stream_.synchronise();
    if (privacy_) release_.emplace(privacy_->rule(), tensors_, outs_, digits.train.size(), false, stream_.handle());
  }

  void step(std::uint32_t number) {
    batch_ = noise::poisson_batch(source_, {sampling_stream, number, 0}, digits_.train.size(),
                                  dpflash::accounting::SamplingRate(sampling_rate(setup_, digits_.train.size())));
    differentiate();
    if (privacy_)
      release(number);
    else
      average();
    for (std::size_t t = 0; t < kTensors; ++t)
      update_kernel<<<blocks_for(tensors_[t].width), kThreads, 0, stream_.handle()>>>(
          values_[t].data(), velocity_[t].data(), step_[t].data(), tensors_[t].width,
          static_cast<float>(setup_.momentum), static_cast<float>(setup_.learning_rate));
    gpu::check_launch("update");
    // The batch's indices are read until here.
    stream_.synchronise();
  }

  [[nodiscard]] Progress progress() const {
    std::array<std::vector<float>, kTensors> values;
    Parameters parameters{};
    for (std::size_t t = 0; t < kTensors; ++t) {
      values[t].resize(values_[t].size());
      gpu::copy_to_host(values[t].data(), values_[t].data(), values[t].size() * sizeof(float), stream_.handle());
      parameters.tensor[t] = values[t].data();
    }
    stream_.synchronise();
    return {accuracy<Model>(parameters, digits_.test), privacy_ ? privacy_->clip() : 0};
  }

 private:
  static constexpr std::size_t kTensors = Model::kTensors;

  void place_tensors() {
    std::uint64_t first = 0;
    for (std::size_t t = 0; t < kTensors; ++t) {
      const auto size = static_cast<std::size_t>(Model::kShapes[t].size());
      first_values_[t].resize(size);
      source_.normal(first_values_[t], {first_values_stream, 0, first});
      for (float& value : first_values_[t]) value *= Model::kShapes[t].spread;
      values_[t] = gpu::upload<float>(first_values_[t], stream_.handle());
      velocity_[t] = gpu::Buffer<float>(size);
      gpu::zero(velocity_[t].data(), size * sizeof(float), stream_.handle());
      step_[t] = gpu::Buffer<float>(size);
      rows_[t] = gpu::Buffer<float>(size * digits_.train.size());
      const bool own_layer = privacy_ && privacy_->per_layer();
      tensors_[t] = {rows_[t].data(), size, 0, first, own_layer ? static_cast<std::uint32_t>(t) : 0};
      outs_[t] = step_[t].data();
      first += size;
    }
  }

  void differentiate() {
    Parameters parameters{};
    Gradient rows{};
    Widths widths{};
    for (std::size_t t = 0; t < kTensors; ++t) {
      parameters.tensor[t] = values_[t].data();
      rows.tensor[t] = rows_[t].data();
      widths.tensor[t] = tensors_[t].width;
    }
    if (batch_.empty()) return;
    gpu::copy_to_device(indices_.data(), batch_.data(), batch_.size() * sizeof(batch_[0]), stream_.handle());
    differentiate_kernel<Model><<<blocks_for(batch_.size()), kThreads, 0, stream_.handle()>>>(
        parameters, pixels_.data(), labels_.data(), indices_.data(), batch_.size(), rows, widths);
    gpu::check_launch("differentiate");
  }

  void release(std::uint32_t number) {
    if (privacy_->adaptive()) release_->replace(privacy_->rule(), stream_.handle());
    release_->release(batch_.size(), {source_, noise::Position{gradient_stream, number, 0}}, stream_.handle());
    if (!privacy_->adaptive()) return;
    std::vector<float> factors(batch_.size());
    gpu::copy_to_host(factors.data(), release_->factors().data, factors.size() * sizeof(float), stream_.handle());
    stream_.synchronise();
    privacy_->after(factors, source_, number);
  }

  void average() {
    for (std::size_t t = 0; t < kTensors; ++t)
      average_kernel<<<blocks_for(tensors_[t].width), kThreads, 0, stream_.handle()>>>(
          rows_[t].data(), batch_.size(), tensors_[t].width, static_cast<float>(setup_.batch), step_[t].data());
    gpu::check_launch("average");
  }

  Setup setup_;
  const Digits& digits_;
  noise::NoiseSource& source_;
  std::optional<Privacy> privacy_;
  gpu::Stream stream_;
  std::vector<std::uint64_t> batch_;
  std::array<std::vector<float>, kTensors> first_values_;
  gpu::Buffer<float> pixels_;
  gpu::Buffer<int> labels_;
  gpu::Buffer<std::uint64_t> indices_;
  std::array<gpu::Buffer<float>, kTensors> values_, velocity_, step_, rows_;
  std::array<noise::TensorRows, kTensors> tensors_;
  std::array<float*, kTensors> outs_;
  std::optional<noise::DeviceGradient> release_;
};

}  // namespace

std::vector<Progress> train_on_device(const Setup& setup, const Digits& digits, noise::NoiseSource& source,
                                      const std::optional<noise::Calibration>& calibration) {
  if (gpu::device_count() == 0)
    throw std::runtime_error("--device: cuda is not allowed; no CUDA device found, use cpu");
  return setup.model == ModelKind::logistic ? train_with<DeviceTrainer<Logistic>>(setup, digits, source, calibration)
                                            : train_with<DeviceTrainer<Mlp>>(setup, digits, source, calibration);
}

}  // namespace dpsgd
