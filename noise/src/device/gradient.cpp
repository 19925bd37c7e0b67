#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "clipping/checks.hpp"
#include "device/draw_access.hpp"
#include "dpflash/gpu/error.hpp"
#include "dpflash/noise/device_gradient.hpp"
#include "kernels/trainer.hpp"

namespace dpflash::noise {

using accounting::UnusableInput;

struct DeviceGradient::State {
  PrivateGradient release;
  std::vector<TensorRows> tensors;
  std::uint64_t most_examples;
  std::uint64_t added = 0;
  bool spent = false;  ///< the sums were released, or clipped by a rule that was replaced
  bool torn = false;   ///< a replace failed half-way: norms and scales may be of two rules
  gpu::GradientTable table = {};
  gpu::Buffer<gpu::GradientTensor> entries = {};
  gpu::Buffer<std::uint32_t> by_layer = {};
  gpu::Buffer<std::uint32_t> layer_begin = {};
  gpu::Buffer<double> reduced = {};
  gpu::Buffer<float> scales = {};
  gpu::Memory work = {};
  gpu::Buffer<double> norms = {};
  gpu::Buffer<float> factors = {};
  gpu::Buffer<double> sums = {};

  void upload_rules(gpu::StreamHandle stream);
  void upload_table(std::span<float* const> out, bool microbatches, gpu::StreamHandle stream);
  void norms_and_factors(std::uint64_t batch, gpu::StreamHandle stream);
  TakenDraws take(const DrawFrom& from, gpu::StreamHandle stream) const;
  void check_sums() const;
  void check_rule() const;
};

namespace {

void check_outputs(std::span<const TensorRows> tensors, std::span<float* const> out, std::uint64_t most_examples) {
  check_size("out", out.size(), tensors.size(), "one a tensor");
  for (std::size_t t = 0; t < out.size(); ++t)
    if (out[t] == nullptr && tensors[t].width > 0)
      throw UnusableInput("out[" + std::to_string(t) + "]", "a null pointer", "device memory");
  if (most_examples > kLargestBatch)
    throw UnusableInput("most_examples", std::to_string(most_examples), "at most 2^20 examples");
  // The grid of blocks has 31 bits.
  std::uint64_t tiles = 0;
  for (const TensorRows& tensor : tensors) tiles += tensor.width / 512 + 2;
  if (tiles > (std::uint64_t{1} << 31) - 1 || (most_examples > 0 && tiles / 8 > ((1u << 31) - 1) / most_examples - 1))
    throw UnusableInput("gradients", std::to_string(tiles) + " groups of parameters",
                        "fewer parameters, or fewer examples a call");
}

}  // namespace

void DeviceGradient::State::upload_rules(gpu::StreamHandle stream) {
  const Clipping& clipping = release.clipping();
  std::vector<double> reduced_norms;
  std::vector<float> noise;
  for (std::uint32_t l = 0; l < clipping.layers(); ++l) {
    reduced_norms.push_back(clipping.reduced_norm(l));
    noise.push_back(release.scale(l));
  }
  torn = true;
  gpu::copy_to_device(reduced.data(), reduced_norms.data(), reduced_norms.size() * sizeof(double), stream);
  gpu::copy_to_device(scales.data(), noise.data(), noise.size() * sizeof(float), stream);
  gpu::synchronise(stream);
  torn = false;
}

void DeviceGradient::State::upload_table(std::span<float* const> out, bool microbatches, gpu::StreamHandle stream) {
  const std::uint32_t layers = release.clipping().layers();
  std::uint64_t parameters = 0;
  for (const TensorRows& tensor : tensors) parameters += tensor.width;
  if (microbatches) sums = gpu::Buffer<double>(parameters);
  std::vector<gpu::GradientTensor> host;
  std::vector<std::uint32_t> begin(layers + 1, 0);
  std::uint64_t place = 0;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    gpu::GradientTensor entry{};
    entry.data = tensors[t].data;
    entry.out = out[t];
    entry.sums = microbatches ? sums.data() + place : nullptr;
    entry.width = tensors[t].width;
    entry.stride = stride_of(tensors[t]);
    entry.offset = tensors[t].offset;
    entry.layer = tensors[t].layer;
    host.push_back(entry);
    place += entry.width;
    ++begin[entry.layer + 1];
  }
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<std::uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t t) { return tensors[t].layer; });
  table = gpu::place_gradients(host, layers);
  entries = gpu::upload<gpu::GradientTensor>(host, stream);
  by_layer = gpu::upload<std::uint32_t>(order, stream);
  layer_begin = gpu::upload<std::uint32_t>(begin, stream);
  gpu::synchronise(stream);
  table.tensors = entries.data();
  table.by_layer = by_layer.data();
  table.layer_begin = layer_begin.data();
}

void DeviceGradient::State::check_rule() const {
  if (torn) throw gpu::DeviceError("DeviceGradient: a replace failed before; call replace again");
}

void DeviceGradient::State::norms_and_factors(std::uint64_t batch, gpu::StreamHandle stream) {
  if (batch > most_examples)
    throw UnusableInput("batch", std::to_string(batch), "at most most_examples = " + std::to_string(most_examples));
  gpu::gradient_norms(table, batch, {reduced.data(), release.clipping().gamma()}, work.data(), norms.data(),
                      factors.data(), stream);
}

TakenDraws DeviceGradient::State::take(const DrawFrom& from, gpu::StreamHandle stream) const {
  const std::uint64_t first = DrawAccess::first(from);
  return DrawAccess::take(from, first, draw_ranges(tensors, first), stream);
}

/// A record that is in two releases through one sum, or clipped to more than the noise is for, costs more than is
/// billed.
void DeviceGradient::State::check_sums() const {
  check_rule();
  if (sums.size() == 0 && table.chunks > 0) throw UnusableInput("microbatches", "false", "true, for add and finish");
  if (spent)
    throw UnusableInput("microbatches", "sums that were released, or clipped before replace", "clear, then add");
}

DeviceGradient::DeviceGradient(const PrivateGradient& release, std::span<const TensorRows> tensors,
                               std::span<float* const> out, std::uint64_t most_examples, bool microbatches,
                               gpu::StreamHandle stream) {
  const std::uint32_t layers = release.clipping().layers();
  check({tensors, most_examples}, layers);
  release.check_tensors(tensors);
  static_cast<void>(draw_ranges(tensors, 0));
  check_outputs(tensors, out, most_examples);
  state_ = std::make_unique<State>(State{release, {tensors.begin(), tensors.end()}, most_examples});
  State& state = *state_;
  state.reduced = gpu::Buffer<double>(layers);
  state.scales = gpu::Buffer<float>(layers);
  state.norms = gpu::Buffer<double>(most_examples * layers);
  state.factors = gpu::Buffer<float>(most_examples * layers);
  state.upload_table(out, microbatches, stream);
  state.upload_rules(stream);
  state.work = gpu::Memory(gpu::norm_work_bytes(state.table, most_examples));
  if (microbatches) clear(stream);
}

DeviceGradient::DeviceGradient(DeviceGradient&&) noexcept = default;
DeviceGradient& DeviceGradient::operator=(DeviceGradient&&) noexcept = default;
DeviceGradient::~DeviceGradient() = default;

void DeviceGradient::replace(const PrivateGradient& release, gpu::StreamHandle stream) {
  check_size("release.clipping.layers", release.clipping().layers(), state_->release.clipping().layers(),
             "as many as before");
  release.check_tensors(state_->tensors);
  if (state_->added > 0) state_->spent = true;
  state_->release = release;
  state_->upload_rules(stream);
}

void DeviceGradient::release(std::uint64_t batch, const DrawFrom& from, gpu::StreamHandle stream) {
  state_->check_rule();
  if (batch > state_->most_examples) state_->norms_and_factors(batch, stream);  // throws before anything is claimed
  const TakenDraws taken = state_->take(from, stream);
  state_->norms_and_factors(batch, stream);
  gpu::release_gradients(state_->table, batch, state_->factors.data(), state_->scales.data(),
                         state_->release.denominator(), false, taken.draws, stream);
  DrawAccess::launched(taken, stream);
}

void DeviceGradient::clear(gpu::StreamHandle stream) {
  gpu::zero(state_->sums.data(), state_->sums.size() * sizeof(double), stream);
  state_->added = 0;
  state_->spent = false;
}

void DeviceGradient::add(std::uint64_t batch, gpu::StreamHandle stream) {
  state_->check_sums();
  if (batch > kLargestBatch - state_->added)
    throw UnusableInput("batch", std::to_string(state_->added) + " + " + std::to_string(batch),
                        "at most 2^20 examples in all microbatches");
  state_->norms_and_factors(batch, stream);
  gpu::add_clipped(state_->table, batch, state_->factors.data(), stream);
  state_->added += batch;
}

void DeviceGradient::finish(const DrawFrom& from, gpu::StreamHandle stream) {
  state_->check_sums();
  const TakenDraws taken = state_->take(from, stream);
  state_->spent = true;
  gpu::release_gradients(state_->table, 0, state_->factors.data(), state_->scales.data(), state_->release.denominator(),
                         true, taken.draws, stream);
  DrawAccess::launched(taken, stream);
}

gpu::DeviceSpan<const double> DeviceGradient::squared_norms() const noexcept {
  return {state_->norms.data(), state_->norms.size()};
}

gpu::DeviceSpan<const float> DeviceGradient::factors() const noexcept {
  return {state_->factors.data(), state_->factors.size()};
}

void DeviceGradient::centred_count(std::uint64_t batch, gpu::DeviceSpan<double> count, gpu::StreamHandle stream) const {
  check_size("count", count.size, 1, "one number");
  check_size("clipping.layers", state_->release.clipping().layers(), 1, "flat clipping");
  if (batch > state_->most_examples)
    throw UnusableInput("batch", std::to_string(batch),
                        "at most most_examples = " + std::to_string(state_->most_examples));
  gpu::centred_count(state_->factors.data(), batch, count.data, stream);
}

}  // namespace dpflash::noise
