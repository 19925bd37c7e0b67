#include "dpflash/gpu/host_generator.hpp"

#include <curand.h>

#include <string>

#include "dpflash/gpu/error.hpp"

namespace dpflash::gpu {

namespace {

void check_curand(curandStatus_t status, const char* call) {
  if (status != CURAND_STATUS_SUCCESS)
    throw DeviceError(std::string(call) + ": cuRAND status " + std::to_string(static_cast<int>(status)));
}

}  // namespace

HostGenerator::HostGenerator(std::uint64_t seed, StreamHandle stream) {
  curandGenerator_t generator = nullptr;
  check_curand(curandCreateGenerator(&generator, CURAND_RNG_PSEUDO_PHILOX4_32_10), "curandCreateGenerator");
  generator_ = generator;
  check_curand(curandSetPseudoRandomGeneratorSeed(generator, seed), "curandSetPseudoRandomGeneratorSeed");
  check_curand(curandSetStream(generator, stream), "curandSetStream");
}

HostGenerator::~HostGenerator() {
  if (generator_ != nullptr) static_cast<void>(curandDestroyGenerator(static_cast<curandGenerator_t>(generator_)));
}

void HostGenerator::normal(DeviceSpan<float> out, float standard_deviation) {
  check_curand(
      curandGenerateNormal(static_cast<curandGenerator_t>(generator_), out.data, out.size, 0.0f, standard_deviation),
      "curandGenerateNormal");
}

void HostGenerator::uniform(DeviceSpan<float> out) {
  check_curand(curandGenerateUniform(static_cast<curandGenerator_t>(generator_), out.data, out.size),
               "curandGenerateUniform");
}

}  // namespace dpflash::gpu
