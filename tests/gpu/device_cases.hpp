// What the device's tests share.
#pragma once

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "dpflash/gpu/stream.hpp"
#include "dpflash/noise/calibration.hpp"
#include "dpflash/noise/elements.hpp"
#include "dpflash/noise/source.hpp"

namespace cases {

using dpflash::gpu::Buffer;
using dpflash::gpu::DeviceSpan;
using dpflash::noise::BFloat16;
using dpflash::noise::Calibration;
using dpflash::noise::Float16;
using dpflash::noise::Generator;
using dpflash::noise::NoiseSource;

inline constexpr Generator kGenerators[] = {Generator::philox, Generator::chacha12, Generator::chacha20};

/// Sizes are divided by DPFLASH_TEST_SHRINK, for tools that run a hundred times slower.
inline std::uint64_t shrink() {
  const char* const text = std::getenv("DPFLASH_TEST_SHRINK");
  const std::uint64_t by = text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
  return by == 0 ? 1 : by;
}

inline Calibration gaussian(double noise = 1.25) {
  return Calibration::gaussian_stated(dpflash::accounting::NoiseMultiplier(noise), dpflash::accounting::Delta(1e-5));
}

inline NoiseSource source(Generator generator, std::uint64_t seed = 11) {
  return NoiseSource::reproducible(generator, seed);
}

template <class T>
T element(float x) {
  if constexpr (std::is_same_v<T, float>) return x;
  if constexpr (std::is_same_v<T, BFloat16>) return dpflash::noise::to_bfloat16(x);
  if constexpr (std::is_same_v<T, Float16>) return dpflash::noise::to_float16(x);
}

template <class T>
std::vector<T> random_elements(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<T> x(n);
  for (T& value : x) value = element<T>(normal(random));
  return x;
}

/// Device memory whose element 0 lies `shift` elements past an aligned address, with a guard on both sides.
template <class T>
class Shifted {
 public:
  Shifted(std::span<const T> values, std::size_t shift, const dpflash::gpu::Stream& stream)
      : shift_(shift + kGuard), size_(values.size()), host_(shift_ + size_ + kGuard) {
    for (std::size_t i = 0; i < host_.size(); ++i) host_[i] = guard();
    for (std::size_t i = 0; i < size_; ++i) host_[shift_ + i] = values[i];
    buffer_ = dpflash::gpu::upload<T>(host_, stream.handle());
    stream.synchronise();
  }
  [[nodiscard]] T* data() const { return buffer_.data() + shift_; }
  [[nodiscard]] DeviceSpan<T> span() const { return {data(), size_}; }
  [[nodiscard]] DeviceSpan<const T> view() const { return {data(), size_}; }
  /// The values now; what lies around them must be as it was.
  [[nodiscard]] std::vector<T> download(const dpflash::gpu::Stream& stream) const {
    std::vector<T> now(host_.size());
    dpflash::gpu::copy_to_host(now.data(), buffer_.data(), now.size() * sizeof(T), stream.handle());
    stream.synchronise();
    for (std::size_t i = 0; i < shift_; ++i) REQUIRE(now[i] == guard());
    for (std::size_t i = shift_ + size_; i < now.size(); ++i) REQUIRE(now[i] == guard());
    return {now.begin() + static_cast<std::ptrdiff_t>(shift_),
            now.begin() + static_cast<std::ptrdiff_t>(shift_ + size_)};
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static T guard() {
    if constexpr (std::is_arithmetic_v<T>) return static_cast<T>(-77);
    if constexpr (!std::is_arithmetic_v<T>) return element<T>(-77.0f);
  }
  std::size_t shift_;
  std::size_t size_;
  std::vector<T> host_;
  Buffer<T> buffer_;
};

template <class T>
std::vector<T> download(DeviceSpan<const T> span, const dpflash::gpu::Stream& stream) {
  std::vector<T> host(span.size);
  dpflash::gpu::copy_to_host(host.data(), span.data, host.size() * sizeof(T), stream.handle());
  stream.synchronise();
  return host;
}

inline std::uint64_t bits(float x) { return std::isnan(x) ? 0x7fffffffu : std::bit_cast<std::uint32_t>(x); }
inline std::uint64_t bits(double x) { return std::isnan(x) ? ~std::uint64_t{0} : std::bit_cast<std::uint64_t>(x); }
inline std::uint64_t bits(BFloat16 x) { return x.bits; }
inline std::uint64_t bits(Float16 x) { return x.bits; }
inline std::uint64_t bits(std::int64_t x) { return static_cast<std::uint64_t>(x); }
inline std::uint64_t bits(std::int32_t x) { return static_cast<std::uint32_t>(x); }

/// Where two arrays first differ in their bits (all NaN are one), or "" when they do not.
template <class T>
std::string difference(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return "sizes differ";
  for (std::size_t i = 0; i < a.size(); ++i)
    if (bits(a[i]) != bits(b[i]))
      return "element " + std::to_string(i) + " of " + std::to_string(a.size()) + ": bits " +
             std::to_string(bits(a[i])) + " against " + std::to_string(bits(b[i]));
  return "";
}
template <class T>
std::string difference(const std::vector<T>& a, const std::vector<T>& b) {
  return difference(std::span<const T>(a), std::span<const T>(b));
}

}  // namespace cases
