// The only source of a noise scale: a privacy target, the releases it covers, and the accountant's certificate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/plan.hpp>
#include <dpflash/accounting/quantities.hpp>
#include <string>
#include <string_view>

namespace dpflash::noise {

/// Which law the noise has. A mechanism takes a calibration of its own family only.
enum class Family {
  gaussian,           ///< standard deviation noise_multiplier times the L2 clipping norm
  laplace,            ///< scale (mean modulus) noise_multiplier times the L1 clipping norm
  discrete_gaussian,  ///< integers, parameter sigma = noise_multiplier times the integer L2 sensitivity
  discrete_laplace    ///< integers, scale noise_multiplier times the integer L1 sensitivity
};

/// "gaussian", "laplace", "discrete-gaussian" or "discrete-laplace".
std::string_view name_of(Family family);

/// How often a mechanism is released, on which share of the records, and what neighbours are. One release is one call
/// of one mechanism: two tensors with a mechanism each are two releases; a BlockDiagonal over both is one.
struct Releases {
  std::int64_t count = 1;                                       ///< in [1, 1e12]
  accounting::SamplingRate rate = accounting::SamplingRate(1);  ///< Poisson sampling; 1: every record takes part
  accounting::Adjacency adjacency = accounting::Adjacency::add_or_remove_one;
};

/// A noise multiplier together with the proof of what it costs. Made by the factories below alone, so that a scale
/// without a certificate does not type-check.
///
/// `noise_multiplier()` is relative to *one* record's clipping norm under every adjacency: under replace_one a record's
/// two versions may be 2 norms apart, and the accountant has that factor inside the multiplier. Mechanisms therefore
/// scale by multiplier times clip, whatever the adjacency.
///
/// Errors of all factories: UnusableInput for values out of range (accounting's ranges), NotComputable where the
/// accountant has no sound answer (e.g. Laplace with replace_one) or no multiplier in [1e-3, 1e9] meets the target. The
/// target is met at exactly the multiplier returned: epsilon().upper <= target. Cost: some certified_epsilon calls
/// (0.1 ms to 2 s each). Proof: docs/math/structured-noise.md, section 1.
class Calibration {
 public:
  /// Least Gaussian noise for (target, delta). Unsampled: the analytic Gaussian (Balle, Wang 2018, theorem 8), k
  /// releases being one of mu sqrt(k); sampled: privacy loss distributions.
  static Calibration gaussian_for(accounting::Epsilon target, accounting::Delta delta, const Releases& releases = {});
  /// Gaussian noise as stated, with what it costs at `delta`.
  static Calibration gaussian_stated(accounting::NoiseMultiplier noise, accounting::Delta delta,
                                     const Releases& releases = {});
  /// Least noise of event `event` (a Gaussian one; its own noise_multiplier is ignored) for which the whole plan stays
  /// within (target, delta), the other events being as they are.
  static Calibration gaussian_in_plan(const accounting::Plan& plan, std::size_t event, accounting::Epsilon target,
                                      accounting::Delta delta);
  /// Event `event` of the plan with the noise that stands there, and the cost of the whole plan at `delta`.
  static Calibration gaussian_of_plan(const accounting::Plan& plan, std::size_t event, accounting::Delta delta);

  /// The same for Laplace noise on vectors of bounded L1 norm, which the scalar pair of the accountant dominates
  /// (structured-noise.md, section 9). replace_one is refused by the accountant.
  static Calibration laplace_for(accounting::Epsilon target, accounting::Delta delta, const Releases& releases = {});
  static Calibration laplace_stated(accounting::NoiseMultiplier noise, accounting::Delta delta,
                                    const Releases& releases = {});
  static Calibration laplace_in_plan(const accounting::Plan& plan, std::size_t event, accounting::Epsilon target,
                                     accounting::Delta delta);
  static Calibration laplace_of_plan(const accounting::Plan& plan, std::size_t event, accounting::Delta delta);

  /// Discrete Gaussian noise on integer vectors, by Rényi accounting: it obeys the Gaussian's curve at every order
  /// (Canonne, Kamath, Steinke 2020, theorem 4) but not its privacy loss distribution. Sampling (rate < 1) is
  /// NotComputable.
  static Calibration discrete_gaussian_for(accounting::Epsilon target, accounting::Delta delta,
                                           const Releases& releases = {});
  static Calibration discrete_gaussian_stated(accounting::NoiseMultiplier noise, accounting::Delta delta,
                                              const Releases& releases = {});

  /// Discrete Laplace noise on integer vectors: pure epsilon 1/multiplier a release (2/multiplier under replace_one),
  /// composed as epsilon_delta events.
  static Calibration discrete_laplace_for(accounting::Epsilon target, accounting::Delta delta,
                                          const Releases& releases = {});
  static Calibration discrete_laplace_stated(accounting::NoiseMultiplier noise, accounting::Delta delta,
                                             const Releases& releases = {});

  [[nodiscard]] Family family() const noexcept { return family_; }
  /// Noise relative to one record's clipping norm.
  [[nodiscard]] double noise_multiplier() const noexcept { return noise_multiplier_; }
  /// What was accounted, this event's noise filled in.
  [[nodiscard]] const accounting::Plan& plan() const noexcept { return plan_; }
  /// Which event of plan() this is.
  [[nodiscard]] std::size_t event() const noexcept { return event_; }
  [[nodiscard]] accounting::Delta delta() const noexcept { return delta_; }
  /// Bracket of the plan's epsilon at delta(); upper is the end to publish.
  [[nodiscard]] const accounting::Bracket& epsilon() const noexcept { return answer_.bracket; }
  /// The same with the engine; the engine means nothing where accountant() is "rdp".
  [[nodiscard]] const accounting::Answer& answer() const noexcept { return answer_; }
  /// "pld" or "rdp".
  [[nodiscard]] std::string_view accountant() const noexcept;
  /// All of the above as one line of JSON: family, noise_multiplier, accountant, engine (pld only), delta, epsilon
  /// {lower, upper; null when infinite}, event, plan (as plan_to_json, which parse_plan reads back bit for bit).
  [[nodiscard]] std::string certificate() const;

 private:
  Calibration(Family family, double noise_multiplier, accounting::Plan plan, std::size_t event, accounting::Delta delta,
              const accounting::Answer& answer);
  friend struct CalibrationMaker;

  Family family_;
  double noise_multiplier_;
  accounting::Plan plan_;
  std::size_t event_;
  accounting::Delta delta_;
  accounting::Answer answer_;
};

}  // namespace dpflash::noise
