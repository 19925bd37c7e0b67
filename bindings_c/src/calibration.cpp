#include <dpflash/dpflash.h>

#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/noise/calibration.hpp>

#include "guard.hpp"
#include "handles.hpp"
#include "structs.hpp"

namespace dpflash::c {
namespace {

using accounting::UnusableInput;

constexpr dpf_releases kReleases = DPF_RELEASES_INIT;
constexpr dpf_bracket kBracket = DPF_BRACKET_INIT;

noise::Releases read_releases(const dpf_releases* given) {
  const dpf_releases releases = read_struct(given, kReleases, "releases");
  if (releases.reserved != 0) throw UnusableInput("releases.reserved", std::to_string(releases.reserved), "0");
  return {.count = releases.count,
          .rate = accounting::SamplingRate(releases.rate),
          .adjacency = adjacency_of(releases.adjacency, "releases.adjacency")};
}

}  // namespace
}  // namespace dpflash::c

using namespace dpflash::c;
using dpflash::accounting::Delta;
using dpflash::accounting::Epsilon;

int dpf_bracket_init(dpf_bracket* bracket, uint32_t abi_version) {
  return guard([&] { init_struct(bracket, kBracket, abi_version, "bracket"); });
}

int dpf_releases_init(dpf_releases* releases, uint32_t abi_version) {
  return guard([&] { init_struct(releases, kReleases, abi_version, "releases"); });
}

int dpf_calibration_gaussian_for(double target_epsilon, double delta, const dpf_releases* releases,
                                 dpf_calibration** calibration) {
  return make_handle(calibration, "calibration", [&] {
    return new CalibrationObject{
        dpflash::noise::Calibration::gaussian_for(Epsilon(target_epsilon), Delta(delta), read_releases(releases))};
  });
}

int dpf_calibration_gaussian_stated(double noise_multiplier, double delta, const dpf_releases* releases,
                                    dpf_calibration** calibration) {
  return make_handle(calibration, "calibration", [&] {
    return new CalibrationObject{dpflash::noise::Calibration::gaussian_stated(
        dpflash::accounting::NoiseMultiplier(noise_multiplier), Delta(delta), read_releases(releases))};
  });
}

int dpf_calibration_laplace_for(double target_epsilon, double delta, const dpf_releases* releases,
                                dpf_calibration** calibration) {
  return make_handle(calibration, "calibration", [&] {
    return new CalibrationObject{
        dpflash::noise::Calibration::laplace_for(Epsilon(target_epsilon), Delta(delta), read_releases(releases))};
  });
}

int dpf_calibration_laplace_stated(double noise_multiplier, double delta, const dpf_releases* releases,
                                   dpf_calibration** calibration) {
  return make_handle(calibration, "calibration", [&] {
    return new CalibrationObject{dpflash::noise::Calibration::laplace_stated(
        dpflash::accounting::NoiseMultiplier(noise_multiplier), Delta(delta), read_releases(releases))};
  });
}

void dpf_calibration_free(dpf_calibration* calibration) { Registry<dpf_calibration>::remove(calibration); }

int dpf_calibration_noise_multiplier(const dpf_calibration* calibration, double* noise_multiplier) {
  return guard([&] {
    require(noise_multiplier, "noise_multiplier");
    *noise_multiplier = held(calibration, "calibration")->value.noise_multiplier();
  });
}

int dpf_calibration_epsilon(const dpf_calibration* calibration, dpf_bracket* epsilon) {
  return guard([&] {
    require(epsilon, "epsilon");
    dpf_bracket out = read_struct(epsilon, kBracket, "epsilon");
    const dpflash::accounting::Bracket bracket = held(calibration, "calibration")->value.epsilon();
    out.lower = bracket.lower;
    out.estimate = bracket.estimate;
    out.upper = bracket.upper;
    std::memcpy(epsilon, &out, epsilon->struct_size);
  });
}

int dpf_calibration_certificate_json(const dpf_calibration* calibration, char* buffer, size_t capacity, size_t* size) {
  return guard([&] {
    const TextTarget target{buffer, capacity, size};
    target.check();
    target.write(held(calibration, "calibration")->value.certificate());
  });
}
