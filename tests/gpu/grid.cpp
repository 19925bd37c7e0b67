// The integer grid on the device: the host's integers.
#include <cmath>
#include <limits>

#include "device_cases.hpp"
#include "dpflash/noise/device_grid.hpp"

using namespace dpflash;
using namespace cases;
using noise::GridMechanism;
using noise::Position;

namespace {

template <class Integer>
std::vector<Integer> integers(std::size_t n) {
  std::mt19937_64 random(8);
  std::vector<Integer> x(n);
  for (Integer& value : x) value = static_cast<Integer>(random());
  return x;
}

template <class Integer>
void check_noise(std::size_t size, int grid_bits, Generator generator, std::uint64_t first) {
  CAPTURE(size);
  CAPTURE(first);
  CAPTURE(noise::name_of(generator));
  const gpu::Stream stream;
  const GridMechanism mechanism(size, 0.7, gaussian(), grid_bits);
  std::vector<Integer> expected = integers<Integer>(size);
  const Shifted<Integer> data(expected, first % 3, stream);
  auto host_draws = source(generator);
  auto device_draws = source(generator);
  mechanism.privatise(expected, host_draws, {1, 2, first});
  const std::size_t cut = size / 3;
  noise::privatise_shard(mechanism, DeviceSpan<Integer>{data.data() + cut, size - cut}, cut,
                         {device_draws, {1, 2, first}}, stream.handle());
  noise::privatise_shard(mechanism, DeviceSpan<Integer>{data.data(), cut}, 0, {device_draws, {1, 2, first}},
                         stream.handle());
  CHECK(difference(data.download(stream), expected) == "");
  std::vector<float> floats(size);
  mechanism.release(std::span<const Integer>(expected), floats, 1.0 / 37);
  const Shifted<float> out(std::vector<float>(size), 1, stream);
  noise::release(mechanism, data.view(), out.span(), 1.0 / 37, stream.handle());
  CHECK(difference(out.download(stream), floats) == "");
}

/// Rows of many lengths: far below and far above the clip, single elements, zeros, and what is not finite.
std::vector<float> rows_of(std::size_t size, std::size_t stride, std::size_t batch) {
  std::vector<float> rows = random_elements<float>(stride * batch, 6);
  const float lengths[] = {1e-6f, 1.0f, 1e6f, 1e-30f, 1e30f, 0.02f, 0.0f};
  for (std::size_t b = 0; b < batch; ++b) {
    float* const row = &rows[b * stride];
    for (std::size_t j = 0; j < size; ++j) row[j] *= lengths[b % 7];
    if (b % 9 == 4) row[size / 2] = std::numeric_limits<float>::quiet_NaN();
    if (b % 9 == 7) row[size - 1] = -std::numeric_limits<float>::infinity();
    if (b % 9 == 8)
      for (std::size_t j = 0; j < size; ++j) row[j] = j == b % size ? 3.0f : 0.0f;
  }
  return rows;
}

template <class Integer>
void check_rows(std::size_t size, std::size_t stride, std::size_t batch, double noise_multiplier) {
  CAPTURE(size);
  CAPTURE(stride);
  CAPTURE(batch);
  CAPTURE(noise_multiplier);
  const gpu::Stream stream;
  const GridMechanism mechanism(size, 0.7, gaussian(noise_multiplier), 12);
  const std::vector<float> rows = rows_of(size, stride, batch);
  const Shifted<float> device_rows(rows, stride % 4, stream);
  std::vector<Integer> expected = integers<Integer>(size);
  const Shifted<Integer> sum(expected, 0, stream);
  for (std::size_t b = 0; b < batch; ++b) mechanism.add(std::span(rows).subspan(b * stride, size), expected);
  noise::DeviceGrid device(mechanism, batch + 1);
  device.add(device_rows.data(), stride, batch, sum.span(), stream.handle());
  CHECK(difference(sum.download(stream), expected) == "");
}

}  // namespace

TEST_CASE_TEMPLATE("grid noise is the host's, integer for integer", Integer, std::int64_t, std::int32_t) {
  for (const Generator generator : kGenerators)
    for (const std::uint64_t first : {0, 1, 2, 3, 255, 1000001})
      for (const std::size_t size : {1, 2, 63, 1000})
        for (const int grid_bits : {8, 16}) check_noise<Integer>(size, grid_bits, generator, first);
}

TEST_CASE("millions of grid draws, the rare ones among them") {
  const std::size_t size = (std::size_t{1} << 23) / shrink() + 5;
  for (const Generator generator : kGenerators) check_noise<std::int64_t>(size, 16, generator, 7);
}

TEST_CASE_TEMPLATE("rows on the grid are the host's, integer for integer", Integer, std::int64_t, std::int32_t) {
  for (const double noise_multiplier : {1.25, 0.01, 3000.0}) {
    check_rows<Integer>(1, 1, 30, noise_multiplier);
    check_rows<Integer>(100, 101, 64, noise_multiplier);
    check_rows<Integer>(5000, 5000, 33, noise_multiplier);
    check_rows<Integer>(70001, 70004, 9, noise_multiplier);
    check_rows<Integer>(100, 100, 0, noise_multiplier);
  }
}
