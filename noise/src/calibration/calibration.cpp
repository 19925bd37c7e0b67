#include "dpflash/noise/calibration.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <dpflash/accounting/calibrate.hpp>
#include <dpflash/accounting/plan_json.hpp>

#include "calibration/maker.hpp"

namespace dpflash::noise {

using accounting::Delta;
using accounting::Epsilon;
using accounting::NoiseMultiplier;
using accounting::Plan;

namespace {

template <class Kind>
void check_event(const Plan& plan, std::size_t event, const char* kind) {
  if (event >= plan.events.size())
    throw accounting::UnusableInput("event", std::to_string(event),
                                    "an index below " + std::to_string(plan.events.size()));
  if (!std::holds_alternative<Kind>(plan.events[event].mechanism))
    throw accounting::UnusableInput("events[" + std::to_string(event) + "].mechanism", "another kind",
                                    std::string("a ") + kind + " event");
}

template <class Kind>
Calibration certify(Family family, const Plan& plan, std::size_t event, Delta delta) {
  accounting::validate(plan);
  const double noise = std::get<Kind>(plan.events[event].mechanism).noise_multiplier;
  const accounting::Options options{.relative_width = accounting::RelativeWidth(kCertificateWidth)};
  return CalibrationMaker::make(family, noise, plan, event, delta, certified_epsilon(plan, delta, options));
}

// Asks the accountant for the noise, and holds it to its word: the certificate is of exactly this plan.
template <class Kind>
Calibration solve(Family family, Plan plan, std::size_t event, Epsilon target, Delta delta) {
  const auto found = accounting::calibrate(plan, event, accounting::Unknown::noise_multiplier, target, delta);
  std::get<Kind>(plan.events[event].mechanism).noise_multiplier = found.value;
  if (!(found.answer.bracket.upper <= target.value()))
    throw accounting::NotComputable("the accountant returned a noise multiplier above its target");
  return CalibrationMaker::make(family, found.value, std::move(plan), event, delta, found.answer);
}

std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace

std::string_view name_of(Family family) {
  switch (family) {
    case Family::gaussian:
      return "gaussian";
    case Family::laplace:
      return "laplace";
    case Family::discrete_gaussian:
      return "discrete-gaussian";
    case Family::discrete_laplace:
      break;
  }
  return "discrete-laplace";
}

Calibration::Calibration(Family family, double noise_multiplier, Plan plan, std::size_t event, Delta delta,
                         const accounting::Answer& answer)
    : family_(family),
      noise_multiplier_(noise_multiplier),
      plan_(std::move(plan)),
      event_(event),
      delta_(delta),
      answer_(answer) {}

Calibration Calibration::gaussian_for(Epsilon target, Delta delta, const Releases& releases) {
  return solve<accounting::Gaussian>(Family::gaussian, plan_of(accounting::Gaussian{1}, releases), 0, target, delta);
}

Calibration Calibration::gaussian_stated(NoiseMultiplier noise, Delta delta, const Releases& releases) {
  return certify<accounting::Gaussian>(Family::gaussian, plan_of(accounting::Gaussian{noise.value()}, releases), 0,
                                       delta);
}

Calibration Calibration::gaussian_in_plan(const Plan& plan, std::size_t event, Epsilon target, Delta delta) {
  check_event<accounting::Gaussian>(plan, event, "gaussian");
  return solve<accounting::Gaussian>(Family::gaussian, plan, event, target, delta);
}

Calibration Calibration::gaussian_of_plan(const Plan& plan, std::size_t event, Delta delta) {
  check_event<accounting::Gaussian>(plan, event, "gaussian");
  return certify<accounting::Gaussian>(Family::gaussian, plan, event, delta);
}

Calibration Calibration::laplace_for(Epsilon target, Delta delta, const Releases& releases) {
  return solve<accounting::Laplace>(Family::laplace, plan_of(accounting::Laplace{1}, releases), 0, target, delta);
}

Calibration Calibration::laplace_stated(NoiseMultiplier noise, Delta delta, const Releases& releases) {
  return certify<accounting::Laplace>(Family::laplace, plan_of(accounting::Laplace{noise.value()}, releases), 0, delta);
}

Calibration Calibration::laplace_in_plan(const Plan& plan, std::size_t event, Epsilon target, Delta delta) {
  check_event<accounting::Laplace>(plan, event, "laplace");
  return solve<accounting::Laplace>(Family::laplace, plan, event, target, delta);
}

Calibration Calibration::laplace_of_plan(const Plan& plan, std::size_t event, Delta delta) {
  check_event<accounting::Laplace>(plan, event, "laplace");
  return certify<accounting::Laplace>(Family::laplace, plan, event, delta);
}

std::string_view Calibration::accountant() const noexcept {
  return family_ == Family::discrete_gaussian ? "rdp" : "pld";
}

std::string Calibration::certificate() const {
  std::string text = R"({"family":")" + std::string(name_of(family_)) + R"(","noise_multiplier":)";
  text += number(noise_multiplier_) + R"(,"accountant":")" + std::string(accountant());
  if (accountant() == "pld") text += R"(","engine":")" + std::string(accounting::name_of(answer_.engine));
  text += R"(","delta":)" + number(delta_.value());
  text += R"(,"epsilon":{"lower":)" + number(answer_.bracket.lower) + R"(,"upper":)" + number(answer_.bracket.upper);
  text += R"(},"event":)" + std::to_string(event_) + R"(,"plan":)" + accounting::plan_to_json(plan_) + "}";
  return text;
}

}  // namespace dpflash::noise
