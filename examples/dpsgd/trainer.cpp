#include "trainer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <dpflash/noise/adaptive_clipping.hpp>
#include <dpflash/noise/private_gradient.hpp>
#include <dpflash/noise/sampling.hpp>
#include <memory>
#include <thread>

#include "model.hpp"

namespace dpsgd {

namespace noise = dpflash::noise;

namespace {

/// Streams of draws: never the same numbers for two purposes.
enum Stream : std::uint32_t { sampling_stream, gradient_stream, count_stream, first_values_stream };

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

/// The released gradient of a step: clipping and noise as the setup says.
class Privacy {
 public:
  Privacy(const Setup& setup, std::span<const Shape> shapes, const noise::Calibration& calibration)
      : setup_(setup), shapes_(shapes), calibration_(calibration) {
    for (const Shape& shape : shapes) size_ += static_cast<std::size_t>(shape.size());
    if (setup.clipping == ClippingKind::adaptive) {
      noise::AdaptiveOptions options;
      options.first_norm = setup.clip;
      options.quantile = setup.quantile;
      adaptive_ = std::make_unique<noise::AdaptiveClipping>(options, setup.batch, calibration);
    } else {
      release_ = std::make_unique<noise::PrivateGradient>(fixed());
    }
  }

  [[nodiscard]] bool per_layer() const noexcept { return setup_.clipping == ClippingKind::per_layer; }
  [[nodiscard]] double clip() const { return adaptive_ ? adaptive_->norm() : setup_.clip; }

  void release(const noise::PerExampleGradients& gradients, noise::NoiseSource& source, std::uint32_t step,
               std::span<const std::span<float>> out) {
    const noise::Position position{gradient_stream, step, 0};
    if (!adaptive_) return release_->release(gradients, source, position, out);
    std::vector<float> factors(gradients.batch);
    noise::PrivateGradient(adaptive_->clipping(), adaptive_->mechanism(size_), setup_.batch)
        .release(gradients, source, position, out, factors);
    adaptive_->update(factors, source, {count_stream, step, 0});
  }

 private:
  [[nodiscard]] noise::PrivateGradient fixed() const {
    if (setup_.clipping == ClippingKind::automatic)
      return {noise::Clipping::automatic(setup_.clip), noise::Isotropic(size_, setup_.clip, calibration_),
              setup_.batch};
    if (setup_.clipping == ClippingKind::flat)
      return {noise::Clipping::flat(setup_.clip), noise::Isotropic(size_, setup_.clip, calibration_), setup_.batch};
    const auto clipping = noise::Clipping::per_layer_equal(setup_.clip, static_cast<std::uint32_t>(shapes_.size()));
    std::vector<noise::Block> blocks;
    for (std::size_t t = 0; t < shapes_.size(); ++t)
      blocks.push_back({static_cast<std::size_t>(shapes_[t].size()), clipping.norms()[t]});
    return {clipping, noise::BlockDiagonal(blocks, noise::Allocation::least_error, calibration_), setup_.batch};
  }

  Setup setup_;
  std::span<const Shape> shapes_;
  noise::Calibration calibration_;
  std::size_t size_ = 0;
  std::unique_ptr<noise::PrivateGradient> release_;
  std::unique_ptr<noise::AdaptiveClipping> adaptive_;
};

template <class Model>
class Trainer {
 public:
  Trainer(const Setup& setup, const Digits& digits, noise::NoiseSource& source,
          const std::optional<noise::Calibration>& calibration)
      : setup_(setup), digits_(digits), source_(source) {
    if (calibration) privacy_ = std::make_unique<Privacy>(setup, Model::kShapes, *calibration);
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
    if (privacy_)
      privacy_->release({tensors_, batch.size()}, source_, number, out);
    else
      average(batch.size());
    for (std::size_t t = 0; t < kTensors; ++t)
      for (std::size_t j = 0; j < values_[t].size(); ++j) {
        velocity_[t][j] = static_cast<float>(setup_.momentum) * velocity_[t][j] + step_[t][j];
        values_[t][j] -= static_cast<float>(setup_.learning_rate) * velocity_[t][j];
      }
  }

  [[nodiscard]] Progress progress() const {
    std::size_t right = 0;
    for (std::size_t i = 0; i < digits_.test.size(); ++i) {
      float scores[kClasses];
      Model::scores(parameters(), digits_.test.image(i), scores);
      right += std::max_element(scores, scores + kClasses) - scores == digits_.test.labels[i] ? 1 : 0;
    }
    return {static_cast<double>(right) / static_cast<double>(digits_.test.size()), privacy_ ? privacy_->clip() : 0};
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
  std::unique_ptr<Privacy> privacy_;
  std::array<noise::TensorRows, kTensors> tensors_;
  std::array<std::vector<float>, kTensors> values_, step_, velocity_, rows_;
};

template <class Model>
std::vector<Progress> train_model(const Setup& setup, const Digits& digits, noise::NoiseSource& source,
                                  const std::optional<noise::Calibration>& calibration) {
  Trainer<Model> trainer(setup, digits, source, calibration);
  std::vector<Progress> history;
  const std::int64_t steps = steps_per_epoch(setup, digits.train.size());
  std::uint32_t step = 0;
  for (int epoch = 0; epoch < setup.epochs; ++epoch) {
    for (std::int64_t i = 0; i < steps; ++i) trainer.step(step++);
    history.push_back(trainer.progress());
  }
  return history;
}

}  // namespace

std::int64_t steps_per_epoch(const Setup& setup, std::size_t records) {
  return std::max<std::int64_t>(1, std::llround(static_cast<double>(records) / setup.batch));
}

double sampling_rate(const Setup& setup, std::size_t records) {
  return std::min(1.0, setup.batch / static_cast<double>(records));
}

std::vector<Progress> train(const Setup& setup, const Digits& digits, noise::NoiseSource& source,
                            const std::optional<noise::Calibration>& calibration) {
  return setup.model == ModelKind::logistic ? train_model<Logistic>(setup, digits, source, calibration)
                                            : train_model<Mlp>(setup, digits, source, calibration);
}

}  // namespace dpsgd
