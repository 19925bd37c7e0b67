// What the tests of the attention kernels share: 16-bit tensors on the device in several layouts, and one call.
#pragma once

#include <functional>
#include <set>

#include "../attention/reference_cases.hpp"
#include "device/noise_access.hpp"
#include "device_cases.hpp"
#include "dpflash/attention/forward.hpp"
#include "dpflash/gpu/error.hpp"

namespace cases {

using dpflash::attention::DeviceNoise;
using dpflash::attention::Element;
using dpflash::attention::ForwardOptions;
using dpflash::attention::ForwardTensors;
using dpflash::attention::Path;

inline std::uint16_t to_bits(Element element, float x) {
  return element == Element::bf16 ? dpflash::noise::to_bfloat16(x).bits : dpflash::noise::to_float16(x).bits;
}
inline float from_bits(Element element, std::uint16_t bits) {
  return element == Element::bf16 ? dpflash::noise::to_float(BFloat16{bits}) : dpflash::noise::to_float(Float16{bits});
}
inline float rounded(Element element, float x) { return from_bits(element, to_bits(element, x)); }

/// How a tensor lies in memory.
enum class Layout {
  rows_first,   ///< [batch, rows, heads, columns]
  heads_first,  ///< [batch, heads, rows, columns]
  gaps,         ///< eight columns between heads
  unaligned     ///< one column between heads, and the first element not where a word starts
};

/// A 16-bit tensor on the device; what lies between its elements must never change.
class DeviceTensor {
 public:
  static constexpr std::uint16_t kPoison = 0x7fff;  ///< a NaN in both types

  DeviceTensor(std::int64_t batch, std::int64_t rows, std::int64_t heads, std::int64_t columns, Layout layout)
      : batch_(batch), rows_(rows), heads_(heads), columns_(columns), layout_(layout) {
    const std::int64_t pitch = columns + (layout == Layout::gaps ? 8 : layout == Layout::unaligned ? 1 : 0);
    shift_ = layout == Layout::unaligned ? 65 : 64;
    strides_ = {nullptr, rows * heads * pitch, heads * pitch, pitch};
    if (layout == Layout::heads_first) strides_ = {nullptr, rows * heads * pitch, pitch, rows * pitch};
    host_.assign(static_cast<std::size_t>(shift_ + batch * rows * heads * pitch + 64), kPoison);
    memory_ = dpflash::gpu::Buffer<std::uint16_t>(host_.size());
  }

  /// Rows in the order [batch, rows, heads].
  void upload(Element element, const Rows<double>& values, const dpflash::gpu::Stream& stream) {
    for_each([&](std::int64_t row, std::int64_t head, std::size_t at) {
      for (std::int64_t d = 0; d < columns_; ++d)
        host_[at + static_cast<std::size_t>(d)] = to_bits(element, static_cast<float>(values.row(row, head)[d]));
    });
    poison(stream);
  }
  /// What was uploaded, or NaN everywhere.
  void poison(const dpflash::gpu::Stream& stream) const {
    dpflash::gpu::copy_to_device(memory_.data(), host_.data(), host_.size() * 2, stream.handle());
    stream.synchronise();
  }
  /// Bits in the order [batch, rows, heads, columns].
  [[nodiscard]] std::vector<std::uint16_t> download(const dpflash::gpu::Stream& stream) const {
    const std::vector<std::uint16_t> now = raw(stream);
    std::vector<std::uint16_t> bits;
    std::vector<bool> inside(now.size());
    for_each([&](std::int64_t, std::int64_t, std::size_t at) {
      for (std::size_t d = 0; d < static_cast<std::size_t>(columns_); ++d) {
        bits.push_back(now[at + d]);
        inside[at + d] = true;
      }
    });
    std::size_t touched = 0;
    for (std::size_t i = 0; i < now.size(); ++i) touched += !inside[i] && now[i] != kPoison;
    REQUIRE(touched == 0);
    return bits;
  }
  /// All of its memory, gaps included.
  [[nodiscard]] std::vector<std::uint16_t> raw(const dpflash::gpu::Stream& stream) const {
    std::vector<std::uint16_t> now(host_.size());
    dpflash::gpu::copy_to_host(now.data(), memory_.data(), now.size() * 2, stream.handle());
    stream.synchronise();
    return now;
  }
  template <class T>
  [[nodiscard]] Tensor<T> tensor() const {
    return {memory_.data() + shift_, strides_.batch_stride, strides_.row_stride, strides_.head_stride};
  }

 private:
  /// Calls act(row of [batch, rows], head, place of the first column).
  template <class Act>
  void for_each(Act&& act) const {
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t i = 0; i < rows_; ++i)
        for (std::int64_t h = 0; h < heads_; ++h)
          act(b * rows_ + i, h,
              static_cast<std::size_t>(shift_ + b * strides_.batch_stride + i * strides_.row_stride +
                                       h * strides_.head_stride));
  }
  std::int64_t batch_, rows_, heads_, columns_;
  Layout layout_;
  std::int64_t shift_ = 0;
  Tensor<void> strides_;
  std::vector<std::uint16_t> host_;
  dpflash::gpu::Buffer<std::uint16_t> memory_;
};

/// A problem on the device: tensors, counters, work space.
class DeviceProblem {
 public:
  DeviceProblem(const Problem<double>& p, Element element, Layout layout, const dpflash::gpu::Stream& stream)
      : p_(p),
        q_(make(p, true, layout)),
        k_(make(p, false, layout)),
        v_(make(p, false, layout)),
        out_(make(p, true, layout)),
        clean_(make(p, true, layout)),
        lse_(p.lse.size()),
        clipped_(p.clipped.size()) {
    q_.upload(element, p.q, stream);
    k_.upload(element, p.k, stream);
    v_.upload(element, p.v, stream);
    options_.shape = p.options.shape;
    options_.clips = p.options.clips;
    options_.packed = p.options.packed;
    options_.element = element;
    t_ = {q_.tensor<const void>(), k_.tensor<const void>(), v_.tensor<const void>(),
          out_.tensor<void>(),     clean_.tensor<void>(),   lse_.data(),
          clipped_.data()};
  }
  DeviceProblem(const DeviceProblem&) = delete;
  DeviceProblem& operator=(const DeviceProblem&) = delete;

  /// Why the path does not take this problem; "" when it does.
  std::string refusal(Path path) {
    options_.path = path;
    try {
      static_cast<void>(dpflash::attention::chosen_path(t_, options_));
    } catch (const std::exception& e) {
      return e.what();
    }
    return "";
  }
  /// Outputs are poisoned, then computed and waited for.
  void run(Path path, const DeviceNoise& noise, const dpflash::noise::DrawFrom& from,
           const dpflash::gpu::Stream& stream) {
    poison(stream);
    queue(path, noise, from, stream);
    stream.synchronise();
  }
  void poison(const dpflash::gpu::Stream& stream) {
    out_.poison(stream);
    clean_.poison(stream);
    const std::vector<float> nan(lse_.size(), std::numeric_limits<float>::quiet_NaN());
    dpflash::gpu::copy_to_device(lse_.data(), nan.data(), nan.size() * sizeof(float), stream.handle());
    dpflash::gpu::zero(clipped_.data(), clipped_.size() * sizeof(unsigned long long), stream.handle());
  }
  /// Work alone, to be captured; prepare() and poison() first.
  void queue(Path path, const DeviceNoise& noise, const dpflash::noise::DrawFrom& from,
             const dpflash::gpu::Stream& stream) {
    prepare(path);
    dpflash::attention::forward(t_, options_, noise, from,
                                {static_cast<std::byte*>(workspace_.data()), workspace_.bytes()}, stream.handle());
  }
  /// Allocates the path's work space, full of NaN.
  void prepare(Path path) {
    options_.path = path;
    const std::size_t bytes = dpflash::attention::workspace_bytes(t_, options_);
    if (workspace_.bytes() >= bytes) return;
    const std::vector<std::uint16_t> nan(bytes / 2 + 1, DeviceTensor::kPoison);
    const dpflash::gpu::Stream stream;
    workspace_ = dpflash::gpu::Memory(bytes);
    dpflash::gpu::copy_to_device(workspace_.data(), nan.data(), bytes, stream.handle());
    stream.synchronise();
  }
  /// Key and value `row` of kv head 0 of contiguous rows become `x` everywhere, on the device alone.
  void fill_record(std::int64_t row, double x, const dpflash::gpu::Stream& stream) {
    const std::vector<std::uint16_t> bits(static_cast<std::size_t>(options_.shape.head_dim),
                                          to_bits(options_.element, static_cast<float>(x)));
    for (const Tensor<const void>& t : {t_.k, t_.v}) {
      auto* const data = static_cast<std::uint16_t*>(const_cast<void*>(t.data));
      dpflash::gpu::copy_to_device(data + row * t.row_stride, bits.data(), bits.size() * 2, stream.handle());
    }
    stream.synchronise();
  }
  ForwardTensors& tensors() { return t_; }
  ForwardOptions& options() { return options_; }
  std::vector<std::uint16_t> out(const dpflash::gpu::Stream& stream) const { return out_.download(stream); }
  std::vector<std::uint16_t> raw_out(const dpflash::gpu::Stream& stream) const { return out_.raw(stream); }
  std::vector<std::uint16_t> clean(const dpflash::gpu::Stream& stream) const { return clean_.download(stream); }
  std::vector<float> lse(const dpflash::gpu::Stream& stream) const {
    return cases::download<float>({lse_.data(), lse_.size()}, stream);
  }
  std::vector<unsigned long long> clipped(const dpflash::gpu::Stream& stream) const {
    return cases::download<unsigned long long>({clipped_.data(), clipped_.size()}, stream);
  }

 private:
  static DeviceTensor make(const Problem<double>& p, bool queries, Layout layout) {
    const Shape& s = p.options.shape;
    const std::int64_t heads = queries ? s.heads : s.kv_heads;
    const auto& values = queries ? p.q.values : p.k.values;
    const std::int64_t all = static_cast<std::int64_t>(values.size()) / heads / s.head_dim;
    const std::int64_t batch = p.options.packed ? 1 : static_cast<std::int64_t>(s.lengths.size());
    return {batch, all / batch, heads, s.head_dim, layout};
  }
  const Problem<double>& p_;
  DeviceTensor q_, k_, v_, out_, clean_;
  dpflash::gpu::Buffer<float> lse_;
  dpflash::gpu::Buffer<unsigned long long> clipped_;
  dpflash::gpu::Memory workspace_;
  ForwardOptions options_;
  ForwardTensors t_;
};

/// Values that the element type has.
inline void round_inputs(Problem<double>& p, Element element) {
  for (Rows<double>* rows : {&p.q, &p.k, &p.v})
    for (double& x : rows->values) x = static_cast<double>(rounded(element, static_cast<float>(x)));
}

inline constexpr Path kPaths[] = {Path::sm80, Path::sm90};
inline std::string name_of(Path path) { return path == Path::sm80 ? "sm80" : "sm90"; }

/// Says once why a path was not tested.
inline void report_refusal(Path path, const std::string& why) {
  static std::set<std::string> said;
  const std::string text = "not tested on " + name_of(path) + ": " + why;
  if (said.insert(text).second) MESSAGE(text);
}

inline DeviceNoise no_noise(std::int32_t heads) {
  return dpflash::attention::NoiseAccess::unchecked(std::vector<float>(static_cast<std::size_t>(heads), 0.0f));
}

}  // namespace cases
