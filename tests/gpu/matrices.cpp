// Low-rank and matrix-variate noise against the host's.
#include <cmath>

#include "device_cases.hpp"
#include "dpflash/noise/device_matrices.hpp"

using namespace dpflash;
using namespace cases;

namespace {

/// Columns orthonormal to rounding: modified Gram-Schmidt, twice.
noise::Basis basis_of(std::size_t rows, std::size_t rank) {
  const std::vector<float> random = random_elements<float>(rows * rank, 77);
  std::vector<double> u(random.begin(), random.end());
  for (int pass = 0; pass < 2; ++pass)
    for (std::size_t a = 0; a < rank; ++a) {
      for (std::size_t b = 0; b <= a; ++b) {
        double dot = 0;
        for (std::size_t i = 0; i < rows; ++i) dot += u[i * rank + a] * u[i * rank + b];
        for (std::size_t i = 0; i < rows; ++i)
          u[i * rank + a] = b == a ? u[i * rank + a] / std::sqrt(dot) : u[i * rank + a] - dot * u[i * rank + b];
      }
    }
  noise::Basis basis{rows, rank, {}};
  for (const double x : u) basis.values.push_back(static_cast<float>(x));
  return basis;
}

void check_low_rank(std::size_t rows, std::size_t rank, std::size_t columns, Generator generator) {
  CAPTURE(rows);
  CAPTURE(rank);
  CAPTURE(columns);
  const gpu::Stream stream;
  const noise::LowRank mechanism(basis_of(rows, rank), columns, 0.7, gaussian());
  noise::DeviceLowRank device(mechanism, stream.handle());
  const std::vector<float> sum = random_elements<float>(mechanism.size(), 4);
  const Shifted<float> data(sum, 1, stream);
  const Shifted<float> subspace(std::vector<float>(mechanism.draws()), 2, stream);
  std::vector<float> expected(mechanism.draws());
  device.project(data.view(), subspace.span(), stream.handle());
  mechanism.project(sum, expected);
  const std::vector<float> projected = subspace.download(stream);
  if (device.projects_in_order()) CHECK(difference(projected, expected) == "");
  // Sums in double differ by rows 2^-53 of the terms; here they are below 2^-13 of a float's unit.
  for (std::size_t i = 0; i < expected.size(); ++i)
    REQUIRE(std::abs(projected[i] - expected[i]) <= 2e-7f * std::max(1.0f, std::abs(expected[i])));
  // From the same numbers in the subspace on, everything is the host's.
  auto host_draws = source(generator);
  auto device_draws = source(generator);
  std::vector<float> noisy = projected;
  mechanism.privatise_projected(noisy, host_draws, {1, 2, 3});
  device.privatise_projected(subspace.span(), {device_draws, {1, 2, 3}}, stream.handle());
  CHECK(difference(subspace.download(stream), noisy) == "");
  std::vector<float> lifted(sum.size());
  mechanism.lift(noisy, lifted);
  device.privatise(data.span(), {device_draws, {1, 3, 3}}, stream.handle());
  device.lift(subspace.view(), data.span(), stream.handle());
  CHECK(difference(data.download(stream), lifted) == "");
}

void check_whole(std::size_t rows, std::size_t rank, std::size_t columns) {
  const gpu::Stream stream;
  const noise::LowRank mechanism(basis_of(rows, rank), columns, 0.7, gaussian());
  noise::DeviceLowRank device(mechanism, stream.handle());
  std::vector<float> sum = random_elements<float>(mechanism.size(), 4);
  const Shifted<float> data(sum, 0, stream);
  auto host_draws = source(Generator::chacha20);
  auto device_draws = source(Generator::chacha20);
  mechanism.privatise(sum, host_draws, {1, 2, 3});
  device.privatise(data.span(), {device_draws, {1, 2, 3}}, stream.handle());
  const std::vector<float> out = data.download(stream);
  for (std::size_t i = 0; i < sum.size(); ++i) REQUIRE(std::abs(out[i] - sum[i]) <= 2e-6f);
}

std::vector<double> covariance_of(std::size_t n) {
  std::vector<double> c(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      c[i * n + j] = std::pow(0.5, std::abs(static_cast<double>(i) - static_cast<double>(j))) + (i == j ? 0.5 : 0.0);
  return c;
}

}  // namespace

TEST_CASE("low-rank noise: projection to rounding, noise and lift to the bit") {
  for (const Generator generator : kGenerators) {
    check_low_rank(1, 1, 1, generator);
    check_low_rank(1000, 5, 1, generator);
    if (shrink() > 1) continue;
    check_low_rank(5003, 33, 1, generator);
    check_low_rank(70, 64, 1, generator);
    check_low_rank(300, 7, 129, generator);
    check_low_rank(130, 70, 1500, generator);
    check_low_rank(1025, 3, 2, generator);
  }
  check_low_rank(300, 70, 70, Generator::chacha20);
}

TEST_CASE("low-rank noise as a whole agrees with the host's") {
  check_whole(2000, 17, 1);
  check_whole(200, 17, 40);
}

TEST_CASE("matrix-variate noise agrees with the host's to a unit in the last place") {
  for (const auto& [rows, columns] : {std::pair<std::size_t, std::size_t>{1, 1}, {37, 5}, {3, 130}, {200, 311}}) {
    if (shrink() > 1 && rows * columns > 1000) continue;
    const gpu::Stream stream;
    const noise::MatrixVariate mechanism(covariance_of(rows), rows, covariance_of(columns), columns, 0.7, gaussian());
    noise::DeviceMatrixVariate device(mechanism, stream.handle());
    std::vector<float> sum(mechanism.size(), 0.0f);
    const Shifted<float> data(sum, 1, stream);
    auto host_draws = source(Generator::chacha20);
    auto device_draws = source(Generator::chacha20);
    mechanism.privatise(sum, host_draws, {1, 2, 3});
    device.privatise(data.span(), {device_draws, {1, 2, 3}}, stream.handle());
    const std::vector<float> out = data.download(stream);
    std::size_t same = 0;
    for (std::size_t i = 0; i < sum.size(); ++i) {
      REQUIRE(std::abs(out[i] - sum[i]) <= 1.2e-7f * 2 * std::max(1e-3f, std::abs(sum[i])));
      same += out[i] == sum[i] ? 1 : 0;
    }
    CHECK(static_cast<double>(same) >= 0.99 * static_cast<double>(sum.size()));
  }
}
