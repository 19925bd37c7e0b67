// Noise in CUDA graphs: a step a replay, NaN past the last.
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <limits>

#include "device_cases.hpp"
#include "device_graph.hpp"
#include "dpflash/gpu/error.hpp"
#include "dpflash/noise/device_gradient.hpp"
#include "dpflash/noise/device_grid.hpp"
#include "dpflash/noise/device_matrices.hpp"

using namespace dpflash;
using namespace cases;
using noise::GraphSteps;

TEST_CASE("replays draw at one step after another, then give NaN") {
  for (const Generator generator : kGenerators) {
    const gpu::Stream stream;
    const noise::Isotropic mechanism(3001, 0.7, gaussian());
    std::vector<float> expected = random_elements<float>(mechanism.size(), 4);
    const Shifted<float> data(expected, 0, stream);
    auto draws = source(generator);
    GraphSteps steps(7, 10, 4, 2, stream.handle());
    const Graph graph(stream, [&] {
      noise::privatise(mechanism, data.span(), {draws, steps, 5}, stream.handle());
      noise::privatise(mechanism, data.span(), {draws, steps, 5 + mechanism.size()}, stream.handle());
    });
    CHECK(steps.launches_left() == 0);
    CHECK_THROWS_AS(noise::privatise(mechanism, data.span(), {draws, steps, 100000}, stream.handle()),
                    accounting::UnusableInput);
    auto host_draws = source(generator);
    for (std::uint32_t step = 10; step < 14; ++step) {
      // Every step is claimed, on the host too.
      CHECK_THROWS_AS(draws.claim({7, step, 5}, 1), noise::ReusedNoise);
      graph.replay(stream);
      mechanism.privatise(expected, host_draws, {7, step, 5});
      mechanism.privatise(expected, host_draws, {7, step, 5 + mechanism.size()});
      CHECK(difference(data.download(stream), expected) == "");
    }
    graph.replay(stream);
    for (const float x : data.download(stream)) REQUIRE(std::isnan(x));
  }
}

TEST_CASE("a trainer's step in a graph") {
  const gpu::Stream stream;
  const std::uint64_t batch = 6;
  std::vector<float> gradients = random_elements<float>(batch * 5000, 8);
  const Shifted<float> device(gradients, 0, stream);
  const Shifted<float> device_out(std::vector<float>(5000), 0, stream);
  std::vector<float> out(5000);
  const noise::PrivateGradient release(noise::Clipping::flat(10), noise::Isotropic(5000, 10, gaussian()), 8);
  const noise::TensorRows host_rows[] = {{gradients.data(), 5000, 0, 0, 0}};
  const noise::TensorRows device_rows[] = {{device.data(), 5000, 0, 0, 0}};
  float* const outs[] = {device_out.data()};
  const std::span<float> out_spans[] = {out};
  noise::DeviceGradient trainer(release, device_rows, outs, batch, false, stream.handle());
  auto draws = source(Generator::chacha20);
  auto host_draws = source(Generator::chacha20);
  GraphSteps steps(1, 0, 3, 1, stream.handle());
  const Graph graph(stream, [&] { trainer.release(batch, {draws, steps, 0}, stream.handle()); });
  for (std::uint32_t step = 0; step < 3; ++step) {
    graph.replay(stream);
    release.release({host_rows, batch}, host_draws, {1, step, 0}, out_spans);
    CHECK(difference(device_out.download(stream), out) == "");
  }
  graph.replay(stream);
  for (const float x : device_out.download(stream)) REQUIRE(std::isnan(x));
}

TEST_CASE("a plain position is refused while a graph is captured, and stays unused") {
  const gpu::Stream stream;
  const noise::Isotropic mechanism(3001, 0.7, gaussian());
  const Shifted<float> data(random_elements<float>(mechanism.size(), 4), 0, stream);
  auto draws = source(Generator::philox);
  const Graph graph(stream, [&] {
    CHECK_THROWS_WITH_AS(noise::privatise(mechanism, data.span(), {draws, noise::Position{}}, stream.handle()),
                         doctest::Contains("GraphSteps"), accounting::UnusableInput);
  });
  noise::privatise(mechanism, data.span(), {draws, noise::Position{}}, stream.handle());
}

TEST_CASE("every mechanism can be captured, and ends in NaN or the most negative integer") {
  const gpu::Stream stream;
  auto draws = source(Generator::chacha12);
  const std::size_t n = 64;
  const Shifted<float> data(random_elements<float>(n * n, 4), 0, stream);
  const Shifted<std::int64_t> integers(std::vector<std::int64_t>(n, 5), 0, stream);
  std::vector<double> identity(n * n, 0.0);
  noise::Basis basis{n, 2, std::vector<float>(n * 2, 0.0f)};
  for (std::size_t i = 0; i < n; ++i) identity[i * n + i] = 2;
  basis.values[0] = basis.values[3] = 1;
  const noise::MatrixVariate matrix(identity, n, identity, n, 1, gaussian());
  const noise::LowRank low_rank(basis, n, 1, gaussian());
  const noise::Sparse sparse(noise::Mask::every_kth(n * n, 3), 1, gaussian());
  const noise::GridMechanism grid(n, 1, gaussian());
  noise::DeviceMatrixVariate device_matrix(matrix, stream.handle());
  noise::DeviceLowRank device_low_rank(low_rank, stream.handle());
  noise::DeviceSparse device_sparse(sparse, stream.handle());
  GraphSteps steps(1, 0, 2, 4, stream.handle());
  const Graph graph(stream, [&] {
    noise::privatise(grid, integers.span(), {draws, steps, 50000}, stream.handle());
    device_matrix.privatise(data.span(), {draws, steps, 0}, stream.handle());
    device_sparse.privatise(data.span(), {draws, steps, 10000}, stream.handle());
    device_low_rank.privatise(data.span(), {draws, steps, 20000}, stream.handle());
  });
  graph.replay(stream);
  graph.replay(stream);
  for (const float x : data.download(stream)) REQUIRE(std::isfinite(x));
  graph.replay(stream);
  for (const float x : data.download(stream)) REQUIRE(std::isnan(x));
  for (const std::int64_t x : integers.download(stream)) REQUIRE(x == std::numeric_limits<std::int64_t>::min());
}
