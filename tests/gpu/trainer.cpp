// Norms, clip factors, clipped sums and released gradients: the device's bits are the host's.
#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <limits>

#include "device_cases.hpp"
#include "dpflash/noise/adaptive_clipping.hpp"
#include "dpflash/noise/device_gradient.hpp"

using namespace dpflash;
using namespace cases;
using noise::Clipping;
using noise::DeviceGradient;
using noise::PrivateGradient;
using noise::TensorRows;

namespace {

struct Shape {
  std::vector<std::uint64_t> widths;
  std::uint64_t extra_stride = 0;  ///< elements between rows beyond the width
  std::size_t shift = 0;           ///< of the data's address, in elements
  std::uint64_t first = 0;         ///< of the draws
};

/// The same gradients on host and device.
struct Problem {
  gpu::Stream stream;
  std::uint64_t batch;
  std::uint64_t parameters = 0;
  std::vector<std::vector<float>> host;
  std::vector<Shifted<float>> device;
  std::vector<Shifted<float>> device_out;
  std::vector<std::vector<float>> host_out;
  std::vector<TensorRows> tensors;
  std::vector<TensorRows> device_tensors;
  std::vector<std::span<float>> out_spans;
  std::vector<float*> out_pointers;

  Problem(const Shape& shape, std::uint64_t examples, bool layers, bool broken) : batch(examples) {
    std::mt19937_64 random(5);
    std::normal_distribution<float> normal;
    for (std::size_t t = 0; t < shape.widths.size(); ++t) {
      const std::uint64_t stride = shape.widths[t] + shape.extra_stride;
      std::vector<float> values(stride * batch);
      for (float& g : values) g = normal(random) * (random() % 64 == 0 ? 1e-3f : 1.0f);
      for (std::uint64_t b = 0; b < batch && shape.widths[t] > 0; ++b)
        spoil(broken, t, b, &values[b * stride], shape.widths[t]);
      host.push_back(values);
      host_out.emplace_back(shape.widths[t], -7.0f);
    }
    for (std::size_t t = 0; t < host.size(); ++t) {
      device.emplace_back(host[t], shape.shift, stream);
      device_out.emplace_back(host_out[t], (shape.shift + t) % 4, stream);
      const std::uint64_t stride = shape.widths[t] + shape.extra_stride;
      tensors.push_back({host[t].data(), shape.widths[t], stride, 0, layers ? static_cast<std::uint32_t>(t) : 0});
      device_tensors.push_back(tensors.back());
      device_tensors.back().data = device.back().data();
      out_spans.emplace_back(host_out[t]);
      out_pointers.push_back(device_out.back().data());
    }
    parameters = noise::place_in_order(tensors);
    noise::place_in_order(device_tensors);
  }

  static void spoil(bool broken, std::size_t t, std::uint64_t b, float* row, std::uint64_t width) {
    if (b % 7 == 3)
      for (std::uint64_t j = 0; j < width; ++j) row[j] = 0.0f;
    if (!broken) return;
    if (b % 5 == 1 && t % 2 == 0) row[(b * 37) % width] = std::numeric_limits<float>::quiet_NaN();
    if (b % 5 == 2 && t % 3 == 0) row[width - 1] = std::numeric_limits<float>::infinity();
    if (b % 11 == 4) row[0] = 1e30f;
  }
};

PrivateGradient rule(const Clipping& clipping, std::uint64_t parameters, double denominator = 37) {
  return {clipping, noise::Isotropic(std::max<std::uint64_t>(1, parameters), clipping.total_norm(), gaussian()),
          denominator};
}

void check_release(const Shape& shape, const Clipping& clipping, std::uint64_t batch, bool broken,
                   Generator generator) {
  CAPTURE(batch);
  CAPTURE(shape.first);
  CAPTURE(shape.shift);
  CAPTURE(shape.extra_stride);
  CAPTURE(clipping.layers());
  CAPTURE(noise::name_of(generator));
  Problem p(shape, batch, clipping.layers() > 1, broken);
  const PrivateGradient release = rule(clipping, p.parameters);
  const std::uint64_t count = batch * clipping.layers();
  std::vector<double> norms(count);
  std::vector<float> factors(count);
  noise::squared_norms({p.tensors, batch}, clipping.layers(), norms);
  auto on_host = source(generator);
  release.release({p.tensors, batch}, on_host, {3, 4, shape.first}, p.out_spans, factors);

  DeviceGradient device(release, p.device_tensors, p.out_pointers, batch, true, p.stream.handle());
  auto on_device = source(generator);
  device.release(batch, {on_device, {3, 4, shape.first}}, p.stream.handle());
  CHECK(difference(download(device.squared_norms(), p.stream), norms) == "");
  CHECK(difference(download(device.factors(), p.stream), factors) == "");
  for (std::size_t t = 0; t < p.host.size(); ++t) {
    CAPTURE(t);
    CHECK(difference(p.device_out[t].download(p.stream), p.host_out[t]) == "");
  }
  if (p.parameters > 0)
    CHECK_THROWS_AS(device.release(batch, {on_device, {3, 4, shape.first}}, p.stream.handle()), noise::ReusedNoise);

  // The same in two microbatches' worth of calls: the whole batch twice on both sides.
  std::vector<std::vector<double>> sums;
  std::vector<std::span<double>> sum_spans;
  std::vector<std::span<const double>> sum_views;
  for (const auto& out : p.host_out) sums.emplace_back(out.size(), 0.0);
  for (auto& sum : sums) {
    sum_spans.emplace_back(sum);
    sum_views.emplace_back(sum);
  }
  for (int i = 0; i < 2; ++i) {
    noise::add_clipped({p.tensors, batch}, factors, clipping.layers(), sum_spans);
    device.add(batch, p.stream.handle());
  }
  release.finish(p.tensors, sum_views, on_host, {3, 5, shape.first}, p.out_spans);
  device.finish({on_device, {3, 5, shape.first}}, p.stream.handle());
  for (std::size_t t = 0; t < p.host.size(); ++t) {
    CAPTURE(t);
    CHECK(difference(p.device_out[t].download(p.stream), p.host_out[t]) == "");
  }
}

Shape many_tensors() {
  Shape shape;
  shape.widths = {3000, 1, 0, 4500, 77, 1024, 1025, 640, 512, 4096, 2, 3, 8192 + 5};
  return shape;
}

}  // namespace

TEST_CASE("released gradients are the host's, for every clipping, generator and place") {
  const Clipping automatic = Clipping::automatic(0.5, 0.01);
  const Clipping flat = Clipping::flat(20);
  const Clipping layers = Clipping::per_layer_equal(2, 13);
  for (const Generator generator : kGenerators)
    for (const std::uint64_t first : {0, 1, 2, 3, 639, 1000000007}) {
      Shape shape = many_tensors();
      shape.first = first;
      check_release(shape, flat, 9, false, generator);
      check_release(shape, first % 2 == 0 ? automatic : layers, 17, true, generator);
    }
}

TEST_CASE("any alignment, stride and batch gives the host's bits") {
  for (const std::size_t shift : {0, 1, 2, 3})
    for (const std::uint64_t extra : {0, 1, 4, 7})
      for (const std::uint64_t batch : {0, 1, 8, 25}) {
        Shape shape;
        shape.widths = {2560, 1280, 5000};
        shape.shift = shift;
        shape.extra_stride = extra;
        shape.first = 5 * shift;
        check_release(shape, Clipping::flat(3), batch, batch == 25, Generator::chacha20);
      }
}

TEST_CASE("long rows: chunks of chunks") {
  Shape shape;
  const std::uint64_t by = shrink();
  shape.widths = {(std::uint64_t{3} << 20) / by + 1029, (std::uint64_t{1} << 20) / by, 1024};
  check_release(shape, Clipping::flat(100), 3, false, Generator::chacha12);
  shape.shift = 1;
  check_release(shape, Clipping::per_layer_equal(100, 3), 2, false, Generator::philox);
}

TEST_CASE("no tensor, no example, no parameter") {
  check_release({{0}}, Clipping::flat(1), 3, false, Generator::philox);
  check_release({{}}, Clipping::flat(1), 3, false, Generator::philox);
  check_release({{700}}, Clipping::flat(1), 0, false, Generator::philox);
}

TEST_CASE("rows that are not finite reach no sum") {
  Shape shape;
  shape.widths = {1000, 50};
  Problem p(shape, 6, false, false);
  const float bad[] = {std::nanf(""), HUGE_VALF, -HUGE_VALF};
  const PrivateGradient release = rule(Clipping::flat(1), p.parameters);
  for (const float value : bad) {
    std::vector<float> rows = p.host[1];
    for (float& g : rows) g = value;
    const Shifted<float> spoilt(rows, 0, p.stream);
    p.device_tensors[1].data = spoilt.data();
    DeviceGradient device(release, p.device_tensors, p.out_pointers, 6, false, p.stream.handle());
    auto draws = source(Generator::chacha20);
    device.release(6, {draws, {1, 1, 0}}, p.stream.handle());
    for (const float factor : download(device.factors(), p.stream)) CHECK(factor == 0.0f);
    for (const auto& out : p.device_out)
      for (const float x : out.download(p.stream)) REQUIRE(std::isfinite(x));
  }
}

TEST_CASE("adaptive norms: the device's count moves the norm as the host's factors do") {
  Shape shape;
  shape.widths = {3000};
  const std::uint64_t batch = 201;
  Problem p(shape, batch, false, true);
  noise::AdaptiveClipping on_host({.first_norm = 54}, 200, gaussian());
  noise::AdaptiveClipping on_device({.first_norm = 54}, 200, gaussian());
  const auto first = PrivateGradient(on_host.clipping(), on_host.mechanism(p.parameters), 200);
  DeviceGradient device(first, p.device_tensors, p.out_pointers, batch, false, p.stream.handle());
  const gpu::Buffer<double> count(1);
  auto host_draws = source(Generator::chacha20);
  auto device_draws = source(Generator::chacha20);
  for (std::uint32_t step = 0; step < 5; ++step) {
    const PrivateGradient release(on_host.clipping(), on_host.mechanism(p.parameters), 200);
    device.replace(release, p.stream.handle());
    std::vector<float> factors(batch);
    release.release({p.tensors, batch}, host_draws, {1, step, 0}, p.out_spans, factors);
    device.release(batch, {device_draws, {1, step, 0}}, p.stream.handle());
    CHECK(difference(p.device_out[0].download(p.stream), p.host_out[0]) == "");
    device.centred_count(batch, count.span(), p.stream.handle());
    const double sum = download(DeviceSpan<const double>{count.data(), 1}, p.stream)[0];
    CHECK(on_device.update_from(sum, device_draws, {2, step, 0}) == on_host.update(factors, host_draws, {2, step, 0}));
    CHECK(on_device.norm() == on_host.norm());
  }
}

TEST_CASE("sums are released once, and not with noise for another norm") {
  Shape shape;
  shape.widths = {100};
  Problem p(shape, 4, false, false);
  const PrivateGradient wide = rule(Clipping::flat(1), p.parameters);
  const PrivateGradient narrow = rule(Clipping::flat(0.5), p.parameters);
  const gpu::StreamHandle stream = p.stream.handle();
  DeviceGradient device(wide, p.device_tensors, p.out_pointers, 4, true, stream);
  auto draws = source(Generator::chacha20);
  device.add(4, stream);
  device.finish({draws, {1, 1, 0}}, stream);
  CHECK_THROWS_AS(device.finish({draws, {1, 2, 0}}, stream), accounting::UnusableInput);
  CHECK_THROWS_AS(device.add(4, stream), accounting::UnusableInput);
  device.clear(stream);
  device.add(4, stream);
  device.replace(narrow, stream);
  CHECK_THROWS_AS(device.finish({draws, {1, 2, 0}}, stream), accounting::UnusableInput);
  device.clear(stream);
  device.replace(wide, stream);
  device.add(4, stream);
  device.finish({draws, {1, 2, 0}}, stream);
  p.stream.synchronise();
}

TEST_CASE("what does not fit is refused, and no draw is used") {
  Shape shape;
  shape.widths = {100};
  Problem p(shape, 4, false, false);
  const PrivateGradient release = rule(Clipping::flat(1), p.parameters);
  DeviceGradient device(release, p.device_tensors, p.out_pointers, 4, false, p.stream.handle());
  auto draws = source(Generator::chacha20);
  CHECK_THROWS_AS(device.release(5, {draws, {1, 1, 0}}, p.stream.handle()), accounting::UnusableInput);
  CHECK_THROWS_AS(device.add(1, p.stream.handle()), accounting::UnusableInput);
  CHECK_THROWS_AS(device.finish({draws, {1, 1, 0}}, p.stream.handle()), accounting::UnusableInput);
  device.release(4, {draws, {1, 1, 0}}, p.stream.handle());
  p.device_tensors[0].offset = 1;
  CHECK_THROWS_AS(DeviceGradient(release, p.device_tensors, p.out_pointers, 4, false, p.stream.handle()),
                  accounting::UnusableInput);
  p.out_pointers[0] = nullptr;
  p.device_tensors[0].offset = 0;
  CHECK_THROWS_AS(DeviceGradient(release, p.device_tensors, p.out_pointers, 4, false, p.stream.handle()),
                  accounting::UnusableInput);
  p.stream.synchronise();
}
