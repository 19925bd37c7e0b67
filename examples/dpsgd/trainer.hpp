// DP-SGD: Poisson batches, per-example gradients, clipping, noise, and what each epoch has cost.
#pragma once

#include <cstdint>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/source.hpp>
#include <optional>
#include <vector>

#include "data.hpp"

namespace dpsgd {

enum class ModelKind { logistic, mlp };
enum class DeviceKind { cpu, cuda };
enum class ClippingKind { flat, per_layer, automatic, adaptive };

struct Setup {
  ModelKind model = ModelKind::logistic;
  ClippingKind clipping = ClippingKind::flat;
  DeviceKind device = DeviceKind::cpu;
  int epochs = 30;
  double batch = 64;      ///< expected, declared: the denominator
  double clip = 0.3;      ///< clipping norm; the first one when adaptive
  double quantile = 0.5;  ///< adaptive only: share of examples not to be clipped
  double learning_rate = 0.25;
  double momentum = 0.9;
};

/// Steps of an epoch and sampling rate, from public numbers: the expected batch and how many records there are.
std::int64_t steps_per_epoch(const Setup& setup, std::size_t records);
double sampling_rate(const Setup& setup, std::size_t records);

/// After an epoch: share of the test images that are named rightly, and the clipping norm.
struct Progress {
  double accuracy = 0;
  double clip = 0;
};

/// Trains; `calibration` is one of steps_per_epoch * epochs releases at the sampling rate, or empty for no privacy: the
/// same batches and learning rate, neither clipping nor noise. One entry an epoch.
std::vector<Progress> train(const Setup& setup, const Digits& digits, dpflash::noise::NoiseSource& source,
                            const std::optional<dpflash::noise::Calibration>& calibration);

}  // namespace dpsgd
