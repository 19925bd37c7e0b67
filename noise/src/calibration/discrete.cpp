// Calibrations of the integer mechanisms, whose noise the accountant's own search does not solve for.
#include <cmath>
#include <dpflash/accounting/renyi.hpp>
#include <functional>
#include <limits>

#include "calibration/maker.hpp"

namespace dpflash::noise {

using accounting::Answer;
using accounting::Delta;
using accounting::Epsilon;
using accounting::NoiseMultiplier;
using accounting::Plan;

namespace {

constexpr double kLeastNoise = 1e-3, kMostNoise = 1e9;
constexpr double kTolerance = 1e-7;  // of ln value

using PlanAt = std::function<Plan(double)>;
using Account = std::function<Answer(const Plan&)>;

void check_target(Epsilon target) {
  if (!(target.value() > 0) || !std::isfinite(target.value()))
    throw accounting::UnusableInput("target epsilon", std::to_string(target.value()), "a finite number above 0");
}

// The least noise, to kTolerance, whose answer was seen to meet the target. Nothing is assumed of monotonicity for
// soundness: what is returned was asked at exactly that value.
Calibration least_noise(Family family, Epsilon target, Delta delta, const PlanAt& plan_at, const Account& account) {
  check_target(target);
  double good = 0;
  Answer answer;
  const auto meets = [&](double noise) {
    const Answer found = account(plan_at(noise));
    if (!(found.bracket.upper <= target.value())) return false;
    good = noise;
    answer = found;
    return true;
  };
  double step = 2;
  double bad = 0;
  double at = 1;
  if (meets(at)) {
    do {
      if (at <= kLeastNoise)
        throw accounting::NotComputable("noise_multiplier: every noise multiplier stays within the target epsilon");
      at = std::max(at / step, kLeastNoise);
      step *= step;
    } while (meets(at));
    bad = at;
  } else {
    do {
      bad = at;
      if (at >= kMostNoise) throw accounting::NotComputable("no noise_multiplier up to 1e9 meets the target epsilon");
      at = std::min(at * step, kMostNoise);
      step *= step;
    } while (!meets(at));
  }
  while (good > bad * (1 + kTolerance)) {
    const double middle = std::sqrt(good) * std::sqrt(bad);
    if (!(middle > bad && middle < good)) break;
    if (!meets(middle)) bad = middle;
  }
  return CalibrationMaker::make(family, good, plan_at(good), 0, delta, answer);
}

Plan gaussian_plan(double noise, const Releases& releases) {
  if (releases.rate.value() < 1)
    throw accounting::NotComputable(
        "discrete gaussian with poisson sampling: its Rényi curve under sampling is not proved here");
  return plan_of(accounting::Gaussian{noise}, releases);
}

// Upwards, as 1 / noise is the loss that is proved.
Plan laplace_plan(double noise, const Releases& releases) {
  const double distance = releases.adjacency == accounting::Adjacency::replace_one ? 2 : 1;
  const double epsilon = std::nextafter(distance / noise, std::numeric_limits<double>::infinity());
  return plan_of(accounting::EpsilonDelta{epsilon, 0}, releases);
}

Account by_renyi(Delta delta) {
  return [delta](const Plan& plan) { return Answer{accounting::rdp_epsilon(plan, delta).bracket, {}}; };
}

Account by_pld(Delta delta) {
  return [delta](const Plan& plan) {
    return accounting::certified_epsilon(plan, delta, {.relative_width = accounting::RelativeWidth(kCertificateWidth)});
  };
}

void check_noise(NoiseMultiplier noise) {
  if (!(noise.value() >= kLeastNoise && noise.value() <= kMostNoise))
    throw accounting::UnusableInput("noise_multiplier", std::to_string(noise.value()), "a number in [0.001, 1e9]");
}

}  // namespace

Calibration Calibration::discrete_gaussian_for(Epsilon target, Delta delta, const Releases& releases) {
  return least_noise(
      Family::discrete_gaussian, target, delta, [&](double noise) { return gaussian_plan(noise, releases); },
      by_renyi(delta));
}

Calibration Calibration::discrete_gaussian_stated(NoiseMultiplier noise, Delta delta, const Releases& releases) {
  check_noise(noise);
  const Plan plan = gaussian_plan(noise.value(), releases);
  return {Family::discrete_gaussian, noise.value(), plan, 0, delta, by_renyi(delta)(plan)};
}

Calibration Calibration::discrete_laplace_for(Epsilon target, Delta delta, const Releases& releases) {
  return least_noise(
      Family::discrete_laplace, target, delta, [&](double noise) { return laplace_plan(noise, releases); },
      by_pld(delta));
}

Calibration Calibration::discrete_laplace_stated(NoiseMultiplier noise, Delta delta, const Releases& releases) {
  check_noise(noise);
  const Plan plan = laplace_plan(noise.value(), releases);
  return {Family::discrete_laplace, noise.value(), plan, 0, delta, by_pld(delta)(plan)};
}

}  // namespace dpflash::noise
