// Noise kernels beside kernels that only move the same bytes: shares of what memory allows, in one run.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <dpflash/accounting/error.hpp>
#include <dpflash/gpu/error.hpp>
#include <dpflash/gpu/host_generator.hpp>
#include <dpflash/noise/device.hpp>
#include <dpflash/noise/device_gradient.hpp>
#include <dpflash/noise/device_matrices.hpp>
#include <dpflash/noise/mechanisms.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "floors.hpp"
#include "timing.hpp"

namespace {

using namespace dpflash;
using namespace dpflash::benchmarks;
using noise::Generator;

/// Every call draws at a step of its own.
class Steps {
 public:
  explicit Steps(Generator generator) : source_(noise::NoiseSource::reproducible(generator, 1)) {}
  noise::DrawFrom next() { return {source_, noise::Position{0, step_++, 0}}; }

 private:
  noise::NoiseSource source_;
  std::uint32_t step_ = 0;
};

noise::Calibration calibration() {
  return noise::Calibration::gaussian_stated(accounting::NoiseMultiplier(1.0), accounting::Delta(1e-5));
}

/// Device memory holding normal numbers of standard deviation 1e-2.
template <class T>
gpu::Buffer<T> numbers(std::size_t count) {
  gpu::Buffer<T> data(count);
  gpu::HostGenerator(7, nullptr)
      .normal({reinterpret_cast<float*>(data.data()), count * sizeof(T) / sizeof(float)}, 1e-2f);
  return data;
}

void print_heading(const char* title, const char* floor) {
  std::printf("\n### %s\n\nFloor: %s.\n\n", title, floor);
  std::printf("| case | floor, ms | ours, ms | share | sustained share |\n|---|---|---|---|---|\n");
}

void print_row(const std::string& name, const Work& floor, const Work& ours) {
  const Pair turns = in_turns(floor, ours);
  const Pair long_run = sustained(floor, ours);
  std::printf("| %s | %.4f | %.4f | %.3f | %.3f |\n", name.c_str(), turns.baseline, turns.candidate, turns.share(),
              long_run.share());
  std::fflush(stdout);
}

template <class T>
void isotropic_rows(const char* element, std::size_t count) {
  const auto data = numbers<T>(count);
  const noise::Isotropic mechanism(count, 1e-3, calibration());
  for (const Generator generator : {Generator::philox, Generator::chacha12, Generator::chacha20}) {
    Steps steps(generator);
    print_row(
        std::string(name_of(generator)) + " " + element, [&] { touch(data.data(), count * sizeof(T)); },
        [&] { noise::privatise(mechanism, data.span(), steps.next(), nullptr); });
  }
}

template <class Integer>
void grid_rows(const char* element, std::size_t count) {
  gpu::Buffer<Integer> data(count);
  gpu::zero(data.data(), count * sizeof(Integer), nullptr);
  const noise::GridMechanism mechanism(count, 1.0, calibration());
  for (const Generator generator : {Generator::philox, Generator::chacha12, Generator::chacha20}) {
    Steps steps(generator);
    print_row(
        std::string("grid ") + std::string(name_of(generator)) + " " + element,
        [&] { touch(data.data(), count * sizeof(Integer)); },
        [&] { noise::privatise(mechanism, data.span(), steps.next(), nullptr); });
  }
}

void isotropic(std::size_t count) {
  print_heading("g += sigma C z", "reads and writes the same bytes");
  isotropic_rows<float>("fp32", count);
  isotropic_rows<noise::BFloat16>("bf16", count);
  isotropic_rows<noise::Float16>("fp16", count);
  grid_rows<std::int32_t>("int32", count / 4);
  grid_rows<std::int64_t>("int64", count / 4);
}

void weighted_and_blocks(std::size_t count) {
  print_heading("Weighted and block-diagonal, fp32", "the same reads and writes; for weights one more read");
  const auto data = numbers<float>(count);
  {
    std::vector<float> weights(count);
    for (std::size_t i = 0; i < count; ++i) weights[i] = 0.5f + static_cast<float>(i % 1024) / 1024.0f;
    noise::DeviceWeighted mechanism(noise::Weighted(weights, 1e-3, calibration()), nullptr);
    const auto extra = numbers<float>(count);
    for (const Generator generator : {Generator::philox, Generator::chacha12}) {
      Steps steps(generator);
      print_row(
          "weighted " + std::string(name_of(generator)),
          [&] { touch_with(data.data(), count * 4, extra.data(), count * 4); },
          [&] { mechanism.privatise(data.span(), steps.next(), nullptr); });
    }
  }
  std::vector<noise::Block> blocks;
  std::size_t left = count;
  for (std::size_t b = 0; left > 0; ++b) {
    const std::size_t size = std::min(left, std::size_t{1000} * (1 + b * 7919 % 997));
    blocks.push_back({size, 1e-3 * (1 + static_cast<double>(b % 10))});
    left -= size;
  }
  noise::DeviceBlockDiagonal mechanism(noise::BlockDiagonal(blocks, noise::Allocation::least_error, calibration()),
                                       nullptr);
  for (const Generator generator : {Generator::philox, Generator::chacha12}) {
    Steps steps(generator);
    print_row(
        std::to_string(blocks.size()) + " blocks " + std::string(name_of(generator)),
        [&] { touch(data.data(), count * 4); }, [&] { mechanism.privatise(data.span(), steps.next(), nullptr); });
  }
}

void sparse(std::size_t count) {
  print_heading("Sparse, fp32, ChaCha12", "gathers the kept numbers; in place: zeroes all and scatters them as well");
  const auto data = numbers<float>(count);
  std::vector<std::uint64_t> random;
  std::uint64_t state = 1;
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    if (state >> 60 == 0) random.push_back(i);
  }
  const std::pair<const char*, noise::Mask> masks[] = {{"2 of 4", noise::Mask::n_of_m(count, 2, 4)},
                                                       {"random sixteenth", noise::Mask::of_indices(count, random)}};
  for (const auto& [name, mask] : masks) {
    std::vector<std::uint32_t> index(mask.kept().begin(), mask.kept().end());
    const gpu::Buffer<std::uint32_t> positions = gpu::upload<std::uint32_t>(index, nullptr);
    gpu::Buffer<float> values(index.size());
    gpu::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    noise::DeviceSparse mechanism(noise::Sparse(mask, 1e-3, calibration()), nullptr);
    Steps steps(Generator::chacha12);
    print_row(
        std::string(name) + ", release", [&] { gather(values.data(), data.data(), positions.data(), index.size()); },
        [&] {
          mechanism.release<float>({data.data(), count}, values.span(), steps.next(), nullptr);
        });
    print_row(
        std::string(name) + ", in place",
        [&] {
          gather(values.data(), data.data(), positions.data(), index.size());
          gpu::zero(data.data(), count * 4, nullptr);
          scatter(data.data(), values.data(), positions.data(), index.size());
        },
        [&] { mechanism.privatise(data.span(), steps.next(), nullptr); });
  }
}

void low_rank() {
  constexpr std::size_t rows = std::size_t{1} << 22;
  print_heading("Low rank, 2^22 x r basis, fp32, ChaCha20", "reads the basis twice, reads and writes the sum");
  for (const std::size_t rank : {8u, 32u}) {
    noise::Basis basis{rows, rank, std::vector<float>(rows * rank)};
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < rank; ++j)
        basis.values[i * rank + j] = std::popcount(i & j) % 2 != 0 ? -0x1p-11f : 0x1p-11f;
    const auto sum = numbers<float>(rows);
    const auto floor_basis = numbers<float>(rows * rank);
    noise::DeviceLowRank mechanism(noise::LowRank(basis, 1, 1.0, calibration()), nullptr);
    gpu::Buffer<std::uint32_t> sink(1);
    Steps steps(Generator::chacha20);
    print_row(
        "rank " + std::to_string(rank),
        [&] {
          read(floor_basis.data(), rows * rank * 4, 2, sink.data());
          touch(sum.data(), rows * 4);
        },
        [&] { mechanism.privatise(sum.span(), steps.next(), nullptr); });
  }
}

void clip_and_accumulate() {
  constexpr std::uint64_t batch = 64;
  constexpr std::uint64_t width = std::uint64_t{1} << 22;
  print_heading("Clip and accumulate, 64 x 4 Mi fp32", "reads the gradients twice");
  const auto gradients = numbers<float>(batch * width);
  gpu::Buffer<float> out(width);
  gpu::Buffer<std::uint32_t> sink(1);
  const noise::PrivateGradient rule(noise::Clipping::flat(1.0), noise::Isotropic(width, 1.0, calibration()), 64.0);
  for (const std::uint64_t tensor_count : {1u, 16u}) {
    std::vector<noise::TensorRows> tensors;
    std::vector<float*> outs;
    const std::uint64_t part = width / tensor_count;
    for (std::uint64_t t = 0; t < tensor_count; ++t) {
      tensors.push_back({gradients.data() + t * batch * part, part, part, t * part, 0});
      outs.push_back(out.data() + t * part);
    }
    noise::DeviceGradient device(rule, tensors, outs, batch, true, nullptr);
    const Work floor = [&] { read(gradients.data(), batch * width * 4, 2, sink.data()); };
    const std::string name = std::to_string(tensor_count) + (tensor_count == 1 ? " tensor" : " tensors");
    for (const Generator generator : {Generator::philox, Generator::chacha20}) {
      Steps steps(generator);
      print_row(name + ", noise by " + std::string(name_of(generator)), floor,
                [&] { device.release(batch, steps.next(), nullptr); });
    }
    print_row(name + ", without noise (sums kept in double)", floor, [&] {
      device.clear(nullptr);
      device.add(batch, nullptr);
    });
  }
}

void fills(std::size_t count) {
  std::printf("\n### Filling %zu floats\n\n| generator | G numbers/s |\n|---|---|\n", count);
  const auto data = numbers<float>(count);
  gpu::HostGenerator curand(1, nullptr);
  const double ms = alone([&] { curand.normal(data.span()); });
  std::printf("| cuRAND's host generator, Philox | %.1f |\n", static_cast<double>(count) / ms / 1e6);
  for (const Generator generator : {Generator::philox, Generator::chacha12, Generator::chacha20}) {
    Steps steps(generator);
    const double ours = alone([&] { noise::normal(data.span(), steps.next(), nullptr); });
    std::printf("| %s | %.1f |\n", std::string(name_of(generator)).c_str(), static_cast<double>(count) / ours / 1e6);
  }
}

struct Section {
  const char* name;
  void (*run)(std::size_t count);
};

constexpr Section kSections[] = {{"noise", isotropic},
                                 {"structures", weighted_and_blocks},
                                 {"sparse", sparse},
                                 {"low-rank", [](std::size_t) { low_rank(); }},
                                 {"clip", [](std::size_t) { clip_and_accumulate(); }},
                                 {"fill", fills}};

struct Options {
  std::size_t count = std::size_t{1} << 30;
  std::string section;
};

/// Throws std::invalid_argument with the reason.
Options options_of(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(name + ": a value is missing");
    if (name == "--elements") {
      options.count = std::strtoull(argv[i + 1], nullptr, 10) / 4096 * 4096;
      if (options.count == 0) throw std::invalid_argument("--elements: at least 4096");
    } else if (name == "--section") {
      options.section = argv[i + 1];
      if (std::none_of(std::begin(kSections), std::end(kSections),
                       [&](const Section& section) { return options.section == section.name; }))
        throw std::invalid_argument("--section: noise, structures, sparse, low-rank, clip or fill");
    } else {
      throw std::invalid_argument(name + ": --elements N or --section NAME is allowed");
    }
  }
  return options;
}

void run(const Options& options) {
  cudaDeviceProp properties{};
  gpu::check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf(
      "%s, %zu elements.\n\nShares are time of the floor over ours. Each pair runs in turns, every run alone after a "
      "pause; the last column runs\neach back to back for half a second, where the chip's power limit lowers its "
      "clock.\n",
      properties.name, options.count);
  for (const Section& section : kSections)
    if (options.section.empty() || options.section == section.name)
      section.run(section.run == isotropic || section.run == fills ? options.count : options.count / 4);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = options_of(argc, argv);
    if (gpu::device_count() == 0) throw std::runtime_error("no CUDA device");
    run(options);
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "noise_gpu_benchmark: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "noise_gpu_benchmark: %s\n", error.what());
    return 1;
  }
}
