// Two GPUs of one host: reduce-scatter, noise on each rank's shard, all-gather gives the bits of one GPU that holds
// all.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>
#include <nccl.h>

#include <cstdio>
#include <cstring>
#include <dpflash/gpu/error.hpp>
#include <dpflash/gpu/stream.hpp>
#include <dpflash/noise/device.hpp>
#include <dpflash/noise/isotropic.hpp>
#include <string>
#include <vector>

using namespace dpflash;

namespace {

constexpr int kSkipped = 77;
constexpr std::size_t kRanks = 2;

void check(ncclResult_t result, const char* call) {
  if (result != ncclSuccess) throw gpu::DeviceError(std::string(call) + ": " + ncclGetErrorString(result));
}

void use(std::size_t device) { gpu::check(cudaSetDevice(static_cast<int>(device)), "cudaSetDevice"); }

/// A gradient that only rank `rank` has.
std::vector<float> gradient_of(std::size_t rank, std::size_t size) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i)
    values[i] = static_cast<float>((i * 2654435761u + rank * 40503u) % 2000003u) * 1e-6f - 1.0f;
  return values;
}

struct Rank {
  explicit Rank(std::size_t size, std::size_t shard) : gradient(size), part(shard), gathered(shard * kRanks) {}
  gpu::Stream stream;
  gpu::Buffer<float> gradient;
  gpu::Buffer<float> part;
  gpu::Buffer<float> gathered;
};

/// The step on all ranks; what rank `reader` holds at the end.
std::vector<float> sharded_step(const noise::Isotropic& mechanism, noise::Generator generator, std::size_t reader) {
  const std::size_t size = mechanism.size();
  const std::size_t shard = size / kRanks;
  ncclComm_t comms[kRanks];
  check(ncclCommInitAll(comms, kRanks, nullptr), "ncclCommInitAll");
  std::vector<Rank> ranks;
  for (std::size_t r = 0; r < kRanks; ++r) {
    use(r);
    ranks.emplace_back(size, shard);
    const std::vector<float> gradient = gradient_of(r, size);
    gpu::copy_to_device(ranks[r].gradient.data(), gradient.data(), size * sizeof(float), ranks[r].stream.handle());
    ranks[r].stream.synchronise();
  }
  check(ncclGroupStart(), "ncclGroupStart");
  for (std::size_t r = 0; r < kRanks; ++r)
    check(ncclReduceScatter(ranks[r].gradient.data(), ranks[r].part.data(), shard, ncclFloat, ncclSum, comms[r],
                            ranks[r].stream.handle()),
          "ncclReduceScatter");
  check(ncclGroupEnd(), "ncclGroupEnd");
  // Every rank holds the key and draws its own part: no noise is sent.
  std::vector<noise::NoiseSource> sources;
  for (std::size_t r = 0; r < kRanks; ++r) {
    use(r);
    sources.push_back(noise::NoiseSource::reproducible(generator, 11));
    noise::privatise_shard(mechanism, ranks[r].part.span(), r * shard, {sources[r], noise::Position{3, 5, 17}},
                           ranks[r].stream.handle());
  }
  check(ncclGroupStart(), "ncclGroupStart");
  for (std::size_t r = 0; r < kRanks; ++r)
    check(ncclAllGather(ranks[r].part.data(), ranks[r].gathered.data(), shard, ncclFloat, comms[r],
                        ranks[r].stream.handle()),
          "ncclAllGather");
  check(ncclGroupEnd(), "ncclGroupEnd");
  std::vector<float> result(size);
  for (std::size_t r = 0; r < kRanks; ++r) {
    use(r);
    if (r == reader)
      gpu::copy_to_host(result.data(), ranks[r].gathered.data(), size * sizeof(float), ranks[r].stream.handle());
    ranks[r].stream.synchronise();
  }
  for (ncclComm_t comm : comms) check(ncclCommDestroy(comm), "ncclCommDestroy");
  for (std::size_t r = kRanks; r-- > 0;) {
    use(r);
    ranks.pop_back();
  }
  return result;
}

/// The same on one GPU: the sum of both gradients, then all of the noise.
std::vector<float> whole_step(const noise::Isotropic& mechanism, noise::Generator generator) {
  use(0);
  std::vector<float> sum = gradient_of(0, mechanism.size());
  const std::vector<float> other = gradient_of(1, mechanism.size());
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
  const gpu::Stream stream;
  const gpu::Buffer<float> device = gpu::upload<float>(sum, stream.handle());
  auto source = noise::NoiseSource::reproducible(generator, 11);
  noise::privatise(mechanism, device.span(), {source, noise::Position{3, 5, 17}}, stream.handle());
  gpu::copy_to_host(sum.data(), device.data(), sum.size() * sizeof(float), stream.handle());
  stream.synchronise();
  return sum;
}

}  // namespace

TEST_CASE("sharded noise over two ranks is the one GPU's, bit for bit") {
  const auto calibration =
      noise::Calibration::gaussian_stated(accounting::NoiseMultiplier(1.0), accounting::Delta(1e-5));
  for (const std::size_t size : {std::size_t{2}, std::size_t{2 * 12345}, std::size_t{1} << 26}) {
    const noise::Isotropic mechanism(size, 0.1, calibration);
    for (const auto generator : {noise::Generator::philox, noise::Generator::chacha12, noise::Generator::chacha20}) {
      const std::vector<float> whole = whole_step(mechanism, generator);
      for (std::size_t reader = 0; reader < kRanks; ++reader) {
        const std::vector<float> sharded = sharded_step(mechanism, generator, reader);
        CHECK(std::memcmp(whole.data(), sharded.data(), size * sizeof(float)) == 0);
      }
      // The host agrees as well.
      if (size < 100000) {
        std::vector<float> host = gradient_of(0, size);
        const std::vector<float> other = gradient_of(1, size);
        for (std::size_t i = 0; i < size; ++i) host[i] += other[i];
        auto source = noise::NoiseSource::reproducible(generator, 11);
        mechanism.privatise(host, source, {3, 5, 17});
        CHECK(std::memcmp(whole.data(), host.data(), size * sizeof(float)) == 0);
      }
    }
  }
}

int main(int argc, char** argv) {
  if (gpu::device_count() < static_cast<int>(kRanks)) {
    std::printf("SKIPPED: needs two CUDA devices, found %d\n", gpu::device_count());
    return kSkipped;
  }
  return doctest::Context(argc, argv).run();
}
