// What the device's draws themselves are: the square root they use, their tails, moments and law.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "dpflash/gpu/error.hpp"
#include "dpflash/gpu/stream.hpp"
#include "draw/arith.hpp"
#include "kernels/noise.hpp"

using namespace dpflash;

namespace {

std::uint64_t shrink() {
  const char* const text = std::getenv("DPFLASH_TEST_SHRINK");
  const std::uint64_t by = text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
  return by == 0 ? 1 : by;
}

__global__ void wrong_roots(std::uint32_t first, std::uint32_t end, unsigned long long* wrong) {
  for (std::uint64_t bits = first + std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; bits <= end;
       bits += std::uint64_t{gridDim.x} * blockDim.x) {
    const float x = __uint_as_float(static_cast<std::uint32_t>(bits));
    if (draw::square_root(x) != __fsqrt_rn(x)) atomicAdd(wrong, 1ull);
  }
}

/// Sums of z, z^2, z^3, z^4, counts beyond 5 and 6 on both sides, and of values that are not numbers.
struct Tally {
  double power[4];
  unsigned long long beyond[4];
  unsigned long long bad;
};

__global__ void tally_kernel(const float* z, std::uint64_t count, Tally* tally) {
  double power[4] = {0, 0, 0, 0};
  unsigned long long beyond[4] = {0, 0, 0, 0};
  unsigned long long bad = 0;
  for (std::uint64_t i = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += std::uint64_t{gridDim.x} * blockDim.x) {
    const double x = z[i];
    power[0] += x;
    power[1] += x * x;
    power[2] += x * x * x;
    power[3] += x * x * x * x;
    beyond[0] += x > 5 ? 1 : 0;
    beyond[1] += x < -5 ? 1 : 0;
    beyond[2] += x > 6 ? 1 : 0;
    beyond[3] += x < -6 ? 1 : 0;
    bad += x == x ? 0 : 1;
  }
  for (int k = 0; k < 4; ++k) {
    atomicAdd(&tally->power[k], power[k]);
    if (beyond[k] != 0) atomicAdd(&tally->beyond[k], beyond[k]);
  }
  if (bad != 0) atomicAdd(&tally->bad, bad);
}

/// Cells of equal probability would need the quantile; cells of equal width between -8 and 8 do as well.
constexpr std::uint32_t kCells = 1u << 14;

__global__ void histogram_kernel(const float* z, std::uint64_t count, unsigned long long* cells) {
  for (std::uint64_t i = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += std::uint64_t{gridDim.x} * blockDim.x) {
    const float at = fminf(fmaxf((z[i] + 8.0f) * (kCells / 16.0f), 0.0f), kCells - 1.0f);
    atomicAdd(&cells[static_cast<std::uint32_t>(at)], 1ull);
  }
}

double normal_below(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// P(Binomial(n, p) <= k), term by term; relative error below 1e-9.
double binomial_at_most(double n, double p, std::uint64_t k) {
  double log_term = n * std::log1p(-p);
  double sum = 0;
  for (std::uint64_t i = 0; i <= k; ++i) {
    sum += std::exp(log_term);
    const auto at = static_cast<double>(i);
    log_term += std::log((n - at) / (at + 1)) + std::log(p) - std::log1p(-p);
  }
  return std::min(sum, 1.0);
}

template <class T>
T fetch(const T* device, const gpu::Stream& stream) {
  T host;
  gpu::copy_to_host(&host, device, sizeof host, stream.handle());
  stream.synchronise();
  return host;
}

gpu::Draws draws_of(draw::Bits bits, std::uint64_t first) {
  gpu::Draws draws;
  draws.bits = bits;
  draws.key = {{1, 2, 3, 4, 5, 6, 7, 8}};
  draws.stream = 9;
  draws.step = 10;
  draws.first = first;
  return draws;
}

/// Exact binomial bounds: fails with probability 2e-9 if the draws are right, 12 such checks 2.4e-8.
void check_count(std::uint64_t count, double n, double p) {
  CAPTURE(count);
  CAPTURE(n * p);
  CHECK(binomial_at_most(n, p, count) > 1e-9);
  CHECK((count == 0 || binomial_at_most(n, p, count - 1) < 1 - 1e-9));
}

}  // namespace

TEST_CASE("the square root of every float in [2^-40, 2^10] is correctly rounded") {
  const gpu::Stream stream;
  const gpu::Buffer<unsigned long long> wrong(1);
  gpu::zero(wrong.data(), sizeof(unsigned long long), stream.handle());
  const std::uint32_t first = draw::as_bits(0x1p-40f);
  const std::uint32_t end = draw::as_bits(0x1p10f);
  wrong_roots<<<4096, 256, 0, stream.handle()>>>(shrink() == 1 ? first : end - (end - first) / 1000, end, wrong.data());
  gpu::check_launch("wrong_roots");
  CHECK(fetch(wrong.data(), stream) == 0);
}

TEST_CASE("tails and moments of 1e10 draws") {
  constexpr std::uint64_t kBatch = std::uint64_t{1} << 28;
  const std::uint64_t batch = kBatch / shrink();
  const std::uint64_t batches = shrink() == 1 ? 38 : 2;
  const double count = static_cast<double>(batch * batches);
  for (const draw::Bits bits : {draw::Bits::philox, draw::Bits::chacha12, draw::Bits::chacha20}) {
    CAPTURE(static_cast<int>(bits));
    const gpu::Stream stream;
    const gpu::Buffer<float> z(batch);
    const gpu::Buffer<Tally> tally(1);
    gpu::zero(tally.data(), sizeof(Tally), stream.handle());
    for (std::uint64_t i = 0; i < batches; ++i) {
      gpu::fill_normal(draws_of(bits, i * batch), z.data(), batch, stream.handle());
      tally_kernel<<<1024, 256, 0, stream.handle()>>>(z.data(), batch, tally.data());
      gpu::check_launch("tally");
    }
    const Tally t = fetch(tally.data(), stream);
    CHECK(t.bad == 0);
    for (int side = 0; side < 2; ++side) {
      check_count(t.beyond[side], count, normal_below(-5));
      check_count(t.beyond[2 + side], count, normal_below(-6));
    }
    // Six standard errors each (2e-9 if normal), and 1e-6 for what the polynomials lack.
    const double variance[4] = {1, 2, 15, 96};
    const double moment[4] = {0, 1, 0, 3};
    for (int k = 0; k < 4; ++k) {
      CAPTURE(k);
      CHECK(std::abs(t.power[k] / count - moment[k]) <= 6 * std::sqrt(variance[k] / count) + 1e-6);
    }
  }
}

TEST_CASE("the law of a billion draws: Kolmogorov and Smirnov's distance") {
  const std::uint64_t count = (std::uint64_t{1} << 30) / shrink();
  for (const draw::Bits bits : {draw::Bits::philox, draw::Bits::chacha12, draw::Bits::chacha20}) {
    CAPTURE(static_cast<int>(bits));
    const gpu::Stream stream;
    const gpu::Buffer<float> z(count);
    const gpu::Buffer<unsigned long long> cells(kCells);
    gpu::zero(cells.data(), kCells * sizeof(unsigned long long), stream.handle());
    gpu::fill_normal(draws_of(bits, 12345), z.data(), count, stream.handle());
    histogram_kernel<<<1024, 256, 0, stream.handle()>>>(z.data(), count, cells.data());
    gpu::check_launch("histogram");
    std::vector<unsigned long long> host(kCells);
    gpu::copy_to_host(host.data(), cells.data(), kCells * sizeof(unsigned long long), stream.handle());
    stream.synchronise();
    double below = 0;
    double most = 0;
    for (std::uint32_t c = 0; c + 1 < kCells; ++c) {
      below += static_cast<double>(host[c]);
      const double edge = 16.0 * (c + 1) / kCells - 8;
      most = std::max(most, std::abs(below / static_cast<double>(count) - normal_below(edge)));
    }
    // P(distance > x / sqrt n) <= 2 exp(-2 x^2) (Massart 1990): x = 3.3 has 7e-10. Draws lie on floats: 2^-24 is
    // charged for those on the wrong side of an edge.
    CHECK(most <= 3.3 / std::sqrt(static_cast<double>(count)) + 0x1p-22);
  }
}
