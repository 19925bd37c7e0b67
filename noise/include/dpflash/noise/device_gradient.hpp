// DP-SGD's step on a CUDA device: norms, clip factors, clipped sums, noise and division. What holds for all calls:
// device.hpp.
#pragma once

#include <cstdint>
#include <dpflash/noise/clipping.hpp>
#include <dpflash/noise/device.hpp>
#include <dpflash/noise/private_gradient.hpp>
#include <memory>
#include <span>

namespace dpflash::noise {

/// PrivateGradient for gradients in device memory: the same bits, in two reads of the gradients.
class DeviceGradient {
 public:
  /// `tensors` as on the host, but `data` points to device memory; out[t] points to device memory of width floats.
  /// Fastest with data and out 16-byte aligned and strides divisible by 4. `most_examples`: largest batch of one call,
  /// at most kLargestBatch. `microbatches`: keep double sums of all parameters (8 bytes each) for add and finish. Work
  /// space: about 8 (parameters / 1000 + tensors + 2 layers) bytes an example. Throws UnusableInput as
  /// PrivateGradient::release.
  DeviceGradient(const PrivateGradient& release, std::span<const TensorRows> tensors, std::span<float* const> out,
                 std::uint64_t most_examples, bool microbatches, gpu::StreamHandle stream);
  DeviceGradient(DeviceGradient&&) noexcept;
  DeviceGradient& operator=(DeviceGradient&&) noexcept;
  ~DeviceGradient();

  /// Another clipping norm or noise for the same tensors, as adaptive clipping wants each step. Waits for `stream`.
  /// When it throws DeviceError, so do release, add and finish until it has succeeded: rules would be mixed.
  void replace(const PrivateGradient& release, gpu::StreamHandle stream);

  /// out[t][j] = (sum over b < batch of f_b g[b][t][j] + scale z) / denominator, as PrivateGradient::release.
  void release(std::uint64_t batch, const DrawFrom& from, gpu::StreamHandle stream);

  /// Microbatches: clear, add as often as needed, finish. All of them together hold at most kLargestBatch examples.
  /// Throws UnusableInput for more, and for add or finish after finish, or after replace when something was added,
  /// without clear in between: sums released twice, or with noise for another norm, cost more than is billed. What a
  /// graph replays is not seen: capture clear, add and finish together.
  void clear(gpu::StreamHandle stream);
  void add(std::uint64_t batch, gpu::StreamHandle stream);
  void finish(const DrawFrom& from, gpu::StreamHandle stream);

  /// Squared norms and factors of the last batch, [batch x layers]; secret. Capacity most_examples x layers.
  [[nodiscard]] gpu::DeviceSpan<const double> squared_norms() const noexcept;
  [[nodiscard]] gpu::DeviceSpan<const float> factors() const noexcept;
  /// *count = sum over the last batch's first `batch` examples of (b_i - 1/2), b_i = 1 where the factor is 1: exact,
  /// secret. For AdaptiveClipping::update. One layer.
  void centred_count(std::uint64_t batch, gpu::DeviceSpan<double> count, gpu::StreamHandle stream) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dpflash::noise
