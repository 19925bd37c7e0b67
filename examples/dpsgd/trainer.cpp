#include "trainer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <dpflash/noise/sampling.hpp>
#include <thread>

#include "device_trainer.hpp"
#include "privacy.hpp"

namespace dpsgd {

namespace noise = dpflash::noise;

namespace {

constexpr std::size_t kExamplesWorthAThread = 64;

/// work(b) for b = 0 .. count - 1, from several threads.
template <class Work>
void for_each_example(std::size_t count, const Work& work) {
  const std::size_t threads =
      std::clamp<std::size_t>(count / kExamplesWorthAThread, 1, std::max(1u, std::thread::hardware_concurrency()));
  const auto part = [&](std::size_t t) {
    for (std::size_t b = count * t / threads; b < count * (t + 1) / threads; ++b) work(b);
  };
  std::vector<std::jthread> pool;
  for (std::size_t t = 1; t < threads; ++t) pool.emplace_back(part, t);
  part(0);
}

template <class Model>
class Trainer {
 public:
  Trainer(const Setup& setup, const Digits& digits, noise::NoiseSource& source,
          const std::optional<noise::Calibration>& calibration)
      : setup_(setup), digits_(digits), source_(source) {
    if (calibration) privacy_.emplace(setup, Model::kShapes, *calibration);
    std::uint64_t first = 0;
    for (std::size_t t = 0; t < kTensors; ++t) {
      const auto size = static_cast<std::size_t>(Model::kShapes[t].size());
      for (auto* values : {&values_, &step_, &velocity_}) (*values)[t].assign(size, 0.0f);
      source.normal(values_[t], {first_values_stream, 0, first});
      for (float& value : values_[t]) value *= Model::kShapes[t].spread;
      tensors_[t] = {nullptr, size, 0, first, privacy_ && privacy_->per_layer() ? static_cast<std::uint32_t>(t) : 0};
      first += size;
    }
  }

  void step(std::uint32_t number) {
    const std::vector<std::uint64_t> batch =
        noise::poisson_batch(source_, {sampling_stream, number, 0}, digits_.train.size(),
                             dpflash::accounting::SamplingRate(sampling_rate(setup_, digits_.train.size())));
    differentiate(batch);
    const std::vector<std::span<float>> out(step_.begin(), step_.end());
    if (privacy_) {
      std::vector<float> factors(batch.size() * privacy_->layers());
      privacy_->rule().release({tensors_, batch.size()}, source_, {gradient_stream, number, 0}, out, factors);
      privacy_->after(factors, source_, number);
    } else {
      average(batch.size());
    }
    for (std::size_t t = 0; t < kTensors; ++t)
      for (std::size_t j = 0; j < values_[t].size(); ++j) {
        velocity_[t][j] = static_cast<float>(setup_.momentum) * velocity_[t][j] + step_[t][j];
        values_[t][j] -= static_cast<float>(setup_.learning_rate) * velocity_[t][j];
      }
  }

  [[nodiscard]] Progress progress() const {
    return {accuracy<Model>(parameters(), digits_.test), privacy_ ? privacy_->clip() : 0};
  }

 private:
  static constexpr std::size_t kTensors = Model::kTensors;

  [[nodiscard]] Parameters parameters() const {
    Parameters parameters{};
    for (std::size_t t = 0; t < kTensors; ++t) parameters.tensor[t] = values_[t].data();
    return parameters;
  }

  /// Row b of every tensor: the gradient of record batch[b], which depends on that record and the parameters alone.
  void differentiate(const std::vector<std::uint64_t>& batch) {
    for (std::size_t t = 0; t < kTensors; ++t) {
      rows_[t].resize(batch.size() * tensors_[t].width);
      tensors_[t].data = rows_[t].data();
    }
    const Parameters at = parameters();
    for_each_example(batch.size(), [&](std::size_t b) {
      Gradient gradient{};
      for (std::size_t t = 0; t < kTensors; ++t) gradient.tensor[t] = rows_[t].data() + b * tensors_[t].width;
      Model::gradient(at, digits_.train.image(batch[b]), digits_.train.labels[batch[b]], gradient);
    });
  }

  /// Without privacy: the plain sum over the declared batch size.
  void average(std::size_t examples) {
    for (std::size_t t = 0; t < kTensors; ++t) {
      const std::size_t width = tensors_[t].width;
      std::ranges::fill(step_[t], 0.0f);
      for (std::size_t b = 0; b < examples; ++b)
        for (std::size_t j = 0; j < width; ++j)
          step_[t][j] += rows_[t][b * width + j] / static_cast<float>(setup_.batch);
    }
  }

  Setup setup_;
  const Digits& digits_;
  noise::NoiseSource& source_;
  std::optional<Privacy> privacy_;
  std::array<noise::TensorRows, kTensors> tensors_;
  std::array<std::vector<float>, kTensors> values_, step_, velocity_, rows_;
};

}  // namespace

std::int64_t steps_per_epoch(const Setup& setup, std::size_t records) {
  return std::max<std::int64_t>(1, std::llround(static_cast<double>(records) / setup.batch));
}

double sampling_rate(const Setup& setup, std::size_t records) {
  return std::min(1.0, setup.batch / static_cast<double>(records));
}

std::vector<Progress> train(const Setup& setup, const Digits& digits, noise::NoiseSource& source,
                            const std::optional<noise::Calibration>& calibration) {
  if (setup.device == DeviceKind::cuda) return train_on_device(setup, digits, source, calibration);
  return setup.model == ModelKind::logistic ? train_with<Trainer<Logistic>>(setup, digits, source, calibration)
                                            : train_with<Trainer<Mlp>>(setup, digits, source, calibration);
}

}  // namespace dpsgd
