// What a step releases, and what host and device trainers share.
#pragma once

#include <algorithm>
#include <dpflash/noise/adaptive_clipping.hpp>
#include <dpflash/noise/private_gradient.hpp>
#include <memory>
#include <optional>
#include <span>

#include "model.hpp"
#include "trainer.hpp"

namespace dpsgd {

/// Streams of draws: never the same numbers for two purposes.
enum Stream : std::uint32_t { sampling_stream, gradient_stream, count_stream, first_values_stream };

/// Clipping and noise as the setup says.
class Privacy {
 public:
  Privacy(const Setup& setup, std::span<const Shape> shapes, const dpflash::noise::Calibration& calibration);

  [[nodiscard]] bool per_layer() const noexcept { return setup_.clipping == ClippingKind::per_layer; }
  [[nodiscard]] bool adaptive() const noexcept { return adaptive_ != nullptr; }
  [[nodiscard]] std::size_t layers() const noexcept { return per_layer() ? shapes_.size() : 1; }
  [[nodiscard]] double clip() const { return adaptive_ ? adaptive_->norm() : setup_.clip; }
  /// Clipping and noise of the next release.
  [[nodiscard]] dpflash::noise::PrivateGradient rule() const;
  /// After the release of step `step`, with its clip factors: moves an adaptive norm.
  void after(std::span<const float> factors, dpflash::noise::NoiseSource& source, std::uint32_t step);

 private:
  Setup setup_;
  std::span<const Shape> shapes_;
  dpflash::noise::Calibration calibration_;
  std::size_t size_ = 0;
  std::unique_ptr<dpflash::noise::AdaptiveClipping> adaptive_;
};

/// Share of images that the model names rightly; parameters in host memory.
template <class Model>
double accuracy(const Parameters& parameters, const Images& images) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < images.size(); ++i) {
    float scores[kClasses];
    Model::scores(parameters, images.image(i), scores);
    right += std::max_element(scores, scores + kClasses) - scores == images.labels[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(images.size());
}

/// Runs a trainer through all epochs.
template <class Trainer>
std::vector<Progress> train_with(const Setup& setup, const Digits& digits, dpflash::noise::NoiseSource& source,
                                 const std::optional<dpflash::noise::Calibration>& calibration) {
  Trainer trainer(setup, digits, source, calibration);
  std::vector<Progress> history;
  const std::int64_t steps = steps_per_epoch(setup, digits.train.size());
  std::uint32_t step = 0;
  for (int epoch = 0; epoch < setup.epochs; ++epoch) {
    for (std::int64_t i = 0; i < steps; ++i) trainer.step(step++);
    history.push_back(trainer.progress());
  }
  return history;
}

}  // namespace dpsgd
