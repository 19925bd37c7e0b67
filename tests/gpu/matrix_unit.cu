// What the charges for finite precision assume of matrix units (docs/math/attention-sensitivity.md, section 6),
// measured: one step of 16 products errs by at most 10 2^-23 of the sum of the moduli, accumulator included, where fp16
// operands below 2^-14 count as 2^-14.
#include <cuda_fp16.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "cuda/sm90/products.cuh"
#include "device_cases.hpp"
#include "dpflash/gpu/error.hpp"

using namespace dpflash;

namespace {

constexpr int kRows = 64;
constexpr int kColumns = 64;
constexpr int kTerms = 16;

/// One step: `a` [64, 16], `b` [16, 64] in 16 bits, the accumulators `c` [64, 64].
struct Step {
  std::uint16_t a[kRows * kTerms];
  std::uint16_t b[kTerms * kColumns];
  float c[kRows * kColumns];
};

/// The place of accumulator i of a thread of a warpgroup.
__host__ __device__ int place_of(int thread, int i) {
  const int row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8;
  return row * kColumns + i / 4 * 8 + thread % 4 * 2 + i % 2;
}

/// The left operand of a thread: two terms a word.
__device__ std::uint32_t left(const Step& step, int thread, int i) {
  const int row = thread / 32 * 16 + thread % 32 / 4 + i % 2 * 8;
  const int term = thread % 4 * 2 + i / 2 * 8;
  return step.a[row * kTerms + term] | static_cast<std::uint32_t>(step.a[row * kTerms + term + 1]) << 16;
}

template <bool f16>
__global__ void warp_steps(const Step* steps, float* out) {
  const Step& step = steps[blockIdx.x];
  const int thread = static_cast<int>(threadIdx.x);
  std::uint32_t a[4];
  for (int i = 0; i < 4; ++i) a[i] = left(step, thread, i);
  for (int group = 0; group < kColumns / 8; ++group) {
    std::uint32_t b[2];
    for (int i = 0; i < 2; ++i) {
      const int term = thread % 4 * 2 + 8 * i;
      const int column = 8 * group + thread % 32 / 4;
      b[i] = step.b[term * kColumns + column] | static_cast<std::uint32_t>(step.b[(term + 1) * kColumns + column])
                                                    << 16;
    }
    float d[4];
    for (int i = 0; i < 4; ++i) d[i] = step.c[place_of(thread, 4 * group + i)];
    if constexpr (f16)
      asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
      asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    for (int i = 0; i < 4; ++i) out[blockIdx.x * kRows * kColumns + place_of(thread, 4 * group + i)] = d[i];
  }
}

template <bool f16>
__global__ void warpgroup_steps([[maybe_unused]] const Step* steps, [[maybe_unused]] float* out) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  namespace kernels = attention::cuda;
  __shared__ __align__(1024) std::uint16_t b[kTerms * kColumns];
  const Step& step = steps[blockIdx.x];
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kTerms * kColumns; i += 128) {
    const int term = i / kColumns;
    const int column = i % kColumns;
    b[term * kColumns + (column / 8 ^ term % 8) * 8 + column % 8] = step.b[i];
  }
  kernels::fence_async_proxy();
  __syncthreads();
  std::uint32_t a[4];
  for (int i = 0; i < 4; ++i) a[i] = left(step, thread, i);
  float d[32];
  for (int i = 0; i < 32; ++i) d[i] = step.c[place_of(thread, i)];
  kernels::pin(d);
  const kernels::Operand operand(kernels::shared_address(b), kTerms * 128);
  kernels::product_begin();
  kernels::ValueProduct<kColumns, f16>::add(d, a, operand.at(0));
  kernels::product_commit();
  kernels::product_wait<0>();
  kernels::pin(d);
  for (int i = 0; i < 32; ++i) out[blockIdx.x * kRows * kColumns + place_of(thread, i)] = d[i];
#endif
}

double value_of(bool f16, std::uint16_t bits) {
  return f16 ? static_cast<double>(noise::to_float(noise::Float16{bits}))
             : static_cast<double>(noise::to_float(noise::BFloat16{bits}));
}

/// Steps whose terms are of chosen sizes: exponents are one a term, mantissas random.
class Steps {
 public:
  Steps(bool f16, std::uint64_t seed) : f16_(f16), random_(seed) {}

  /// `subnormal`: left operands below 2^-14 are among them.
  Step next(bool subnormal) {
    Step step;
    const int kind = pick(0, 5);
    const int accumulator = kind == 0 ? 0 : pick(-26, 6);
    const bool alternate = pick(0, 1) != 0;
    int left[kTerms];
    int right[kTerms];
    for (int k = 0; k < kTerms; ++k) {
      // Near the largest term, or about where its last bits are.
      const int size = kind <= 1 ? pick(-27, -21) : kind == 2 ? pick(-3, 0) : pick(-27, 0);
      left[k] = subnormal ? pick(-24, -10) : pick(std::max(-14, size), std::min(0, size + 14));
      right[k] = subnormal ? pick(0, 15) : size - left[k];
      if (kind >= 3 && k == 5) left[k] = subnormal ? -14 : 0, right[k] = 0;
    }
    for (int i = 0; i < kRows; ++i)
      for (int k = 0; k < kTerms; ++k) step.a[i * kTerms + k] = number(left[k], alternate && pick(0, 1) != 0);
    for (int k = 0; k < kTerms; ++k)
      for (int j = 0; j < kColumns; ++j) step.b[k * kColumns + j] = number(right[k], alternate && pick(0, 1) != 0);
    for (float& c : step.c) {
      const double mantissa = 1 + static_cast<double>(pick(0, (1 << 23) - 1)) * 0x1p-23;
      c = static_cast<float>(std::ldexp(mantissa, accumulator) * (alternate && pick(0, 1) != 0 ? -1 : 1));
    }
    return step;
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  std::uint16_t number(int exponent, bool negative) {
    const float mantissa = 1 + static_cast<float>(pick(0, 1023)) * 0x1p-10f;
    const float x = std::ldexp(negative ? -mantissa : mantissa, exponent);
    return f16_ ? noise::to_float16(x).bits : noise::to_bfloat16(x).bits;
  }
  bool f16_;
  std::mt19937_64 random_;
};

/// Terms whose left operand is 0: half of them.
bool is_zero_term(int term) { return term % 2 == 0; }

/// The step with zeros in the left operand, and large numbers facing them.
Step with_zeros(Step step, bool f16, std::mt19937_64& random) {
  std::uniform_int_distribution<int> bits(0, 0xffff);
  for (int k = 0; k < kTerms; ++k) {
    if (!is_zero_term(k)) continue;
    for (int i = 0; i < kRows; ++i) step.a[i * kTerms + k] = static_cast<std::uint16_t>(bits(random) & 0x8000);
    for (int j = 0; j < kColumns; ++j) {
      // Up to the largest number of the type, of either sign.
      std::uint16_t& b = step.b[k * kColumns + j];
      do {
        b = static_cast<std::uint16_t>(bits(random));
      } while (!std::isfinite(value_of(f16, b)));
    }
  }
  return step;
}

struct Worst {
  double plain = 0;    ///< of the sum of the moduli, in 2^-23
  double aligned = 0;  ///< where operands below 2^-14 count as 2^-14
};

Worst worst_of(bool f16, const std::vector<Step>& steps, const std::vector<float>& out) {
  Worst worst;
  for (std::size_t n = 0; n < steps.size(); ++n)
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kColumns; ++j) {
        const auto at = static_cast<std::size_t>(i * kColumns + j);
        const auto c = static_cast<double>(steps[n].c[at]);
        long double exact = static_cast<long double>(c);
        double moduli = std::abs(c);
        double aligned = std::abs(c);
        for (int k = 0; k < kTerms; ++k) {
          const double a = value_of(f16, steps[n].a[i * kTerms + k]);
          const double b = value_of(f16, steps[n].b[k * kColumns + j]);
          exact += static_cast<long double>(a * b);
          moduli += std::abs(a * b);
          const double least = f16 ? 0x1p-14 : 0;
          aligned += std::max(std::abs(a), least) * std::max(std::abs(b), least);
        }
        const auto got = static_cast<long double>(out[n * kRows * kColumns + at]);
        const auto off = std::isnan(got) ? 1e9 : static_cast<double>(std::abs(got - exact)) * 0x1p23;
        worst.plain = std::max(worst.plain, off / moduli);
        worst.aligned = std::max(worst.aligned, off / aligned);
      }
  return worst;
}

template <class Launch>
std::vector<float> run(const std::vector<Step>& steps, const Launch& launch) {
  const gpu::Stream stream;
  gpu::Buffer<Step> device(steps.size());
  gpu::Buffer<float> out(steps.size() * kRows * kColumns);
  gpu::copy_to_device(device.data(), steps.data(), steps.size() * sizeof(Step), stream.handle());
  launch(device.data(), out.data(), static_cast<unsigned>(steps.size()), static_cast<cudaStream_t>(stream.handle()));
  gpu::check_launch("matrix_unit");
  std::vector<float> host(out.size());
  gpu::copy_to_host(host.data(), out.data(), host.size() * sizeof(float), stream.handle());
  stream.synchronise();
  return host;
}

bool is_hopper() {
  int major = 0;
  int minor = 0;
  gpu::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "cudaDeviceGetAttribute");
  gpu::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "cudaDeviceGetAttribute");
  return major == 9 && minor == 0;
}

template <bool f16>
void check_steps(bool subnormal) {
  std::vector<Step> steps;
  Steps source(f16, subnormal ? 2 : 1);
  const std::size_t count = cases::shrink() > 1 ? 20 : 600;
  while (steps.size() < count) steps.push_back(source.next(subnormal));
  const char* const name = f16 ? (subnormal ? "fp16 with subnormals" : "fp16") : "bf16";
  const auto report = [&](const char* unit, const std::vector<float>& out) {
    const Worst worst = worst_of(f16, steps, out);
    MESSAGE(unit << ", " << name << ": worst error " << worst.plain << " x 2^-23 of the moduli, " << worst.aligned
                 << " of those that count");
    CHECK(worst.aligned <= 10);
    if (!subnormal) CHECK(worst.plain <= 10);
  };
  report("mma.sync", run(steps, [](const Step* in, float* out, unsigned blocks, cudaStream_t stream) {
           warp_steps<f16><<<dim3(blocks), 128, 0, stream>>>(in, out);
         }));
  if (!is_hopper()) {
    MESSAGE("wgmma: not tested, the device has none");
    return;
  }
  report("wgmma", run(steps, [](const Step* in, float* out, unsigned blocks, cudaStream_t stream) {
           warpgroup_steps<f16><<<dim3(blocks), 128, 0, stream>>>(in, out);
         }));
}

template <bool f16>
void check_zeros() {
  std::mt19937_64 random(5);
  Steps source(f16, 3);
  std::vector<Step> one;
  std::vector<Step> other;
  const std::size_t count = cases::shrink() > 1 ? 20 : 300;
  while (one.size() < count) {
    const Step step = source.next(f16 && one.size() % 2 == 0);
    one.push_back(with_zeros(step, f16, random));
    other.push_back(one.back());
    const Step again = with_zeros(step, f16, random);
    std::copy(std::begin(again.b), std::end(again.b), std::begin(other.back().b));
  }
  const auto compare = [&](const char* unit, const auto& launch) {
    const std::vector<float> a = run(one, launch);
    const std::vector<float> b = run(other, launch);
    std::size_t different = 0;
    for (std::size_t i = 0; i < a.size(); ++i) different += std::memcmp(&a[i], &b[i], sizeof(float)) != 0;
    INFO(unit, f16 ? ", fp16" : ", bf16");
    CHECK(different == 0);
  };
  compare("mma.sync", [](const Step* in, float* out, unsigned blocks, cudaStream_t stream) {
    warp_steps<f16><<<dim3(blocks), 128, 0, stream>>>(in, out);
  });
  if (!is_hopper()) return;
  compare("wgmma", [](const Step* in, float* out, unsigned blocks, cudaStream_t stream) {
    warpgroup_steps<f16><<<dim3(blocks), 128, 0, stream>>>(in, out);
  });
}

}  // namespace

TEST_CASE("what faces a zero, however large, changes no bit") {
  check_zeros<false>();
  check_zeros<true>();
}

TEST_CASE("a step of 16 products errs by at most ten units of the sum of the moduli") {
  check_steps<false>(false);
  check_steps<true>(false);
}

TEST_CASE("fp16 operands below 2^-14 err as if they were 2^-14") { check_steps<true>(true); }
