#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "inversion/decay.hpp"
#include "inversion/spectrum.hpp"
#include "inversion/strip.hpp"
#include "special/simd_math.hpp"

namespace dpflash::accounting::inversion {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = simd::kUnit;
constexpr double kVanishing = 1e-24;  // squared moduli below are replaced by it and charged in full
constexpr std::size_t kProbes = 6;
constexpr std::size_t kSurveyNodes = 1 << 14;
constexpr double kProbeParts[kProbes] = {1.0, 0.6, 0.36, 0.2, 0.1, 0.04};

/// One phase's final grid, cut to the nodes that matter.
struct TrimmedStep {
  std::vector<double> weight;
  std::vector<double> deviation;  // loss - mean_loss
  double total = 0;
  double centre = 0;
  double linear_error = 0;           // round-off of phi(t) per unit of t
  double fixed_error = 0;            // window, cut nodes and the quadrature of the normalisation
  double probe_error[kProbes] = {};  // quadrature at the probes
};

/// 1/|z (z+1)| for z = theta + it; decreases in t.
double pole_factor(double theta, double t) {
  return 1 / std::sqrt((theta * theta + t * t) * ((1 + theta) * (1 + theta) + t * t));
}

}  // namespace

/// Builds a Spectrum step by step; every member function returns false to give up.
class SpectrumBuilder {
 public:
  SpectrumBuilder(const Model& model, const Pilot& pilot, double tolerance, double work_limit)
      : model_(model), pilot_(pilot), tolerance_(tolerance), work_limit_(work_limit) {
    double steps = 1;
    for (const SampledPhase& phase : model.phases) steps += phase.count;
    steps_ = steps;
    mass_ = std::exp(pilot.log_main);
    // The coefficients sum to at most 1/(2 theta) in modulus, of which the answer may be a small part.
    cancellation_ = std::min(1.0, 2 * pilot.theta * mass_);
    z_ = std::sqrt(2 * (std::log(steps) - std::log(tolerance * cancellation_) + 14));
  }

  bool run() { return survey() && choose_period() && choose_frequencies() && choose_grids() && fill(); }
  Spectrum take() { return std::move(result_); }

 private:
  bool survey();
  bool choose_period();
  bool choose_frequencies();
  bool choose_grids();
  bool fill();
  bool add_grid(std::size_t phase, double spacing, const std::vector<std::vector<double>>& integrals);
  double log_decay(double t) const;
  void add_phase(std::size_t phase, const std::vector<double>& t, std::vector<double>& log_modulus,
                 std::vector<double>& angle, std::vector<double>& turned, std::vector<double>& relative,
                 std::vector<double>& ceiling) const;
  double quadrature_error(const TrimmedStep& step, double t) const;

  const Model& model_;
  const Pilot& pilot_;
  double tolerance_, work_limit_, steps_ = 0, z_ = 0, mass_ = 0, cancellation_ = 1;
  double truncation_ = 0, largest_t_ = 0;
  std::size_t count_ = 0;  // frequencies 0 ... count_ - 1
  std::vector<Nodes> survey_;
  std::vector<Decay> decays_;
  std::vector<TrimmedStep> steps_built_;
  Spectrum result_;
};

/// A fine grid of every phase at theta: K(theta), the decay bound, later the strip integrals.
bool SpectrumBuilder::survey() {
  const double theta = result_.theta_ = pilot_.theta;
  const double gaussian = 0.5 * model_.mu2 * theta * (theta + 1);
  double size = gaussian;
  result_.cumulant_ = gaussian;
  result_.cumulant_error_ = gaussian * (model_.mu2_error + 6 * kUnit);
  for (const SampledPhase& phase : model_.phases) {
    auto nodes = make_nodes(phase, theta, natural_spacing(phase, 8), z_, kSurveyNodes);
    if (!nodes) return false;
    const Cumulant one = cumulant(*nodes, z_);
    if (!(one.error < 1e-7)) return false;
    result_.cumulant_ += phase.count * one.value;
    result_.cumulant_error_ += 1.001 * phase.count * one.error;
    size += phase.count * std::fabs(one.value);
    decays_.emplace_back(*nodes, phase.count);
    survey_.push_back(std::move(*nodes));
  }
  result_.cumulant_error_ += static_cast<double>(model_.phases.size() + 4) * kUnit * size;
  return std::isfinite(result_.cumulant_) && std::isfinite(result_.cumulant_error_);
}

/// The period T after which aliases weigh less than their share of the tolerance (section 2.3).
bool SpectrumBuilder::choose_period() {
  const double share = 0.15 * tolerance_, theta = result_.theta_;
  double period = (-std::log(share) - pilot_.log_delta + 1) / theta;
  // The alias weighs its probability times about 1/(1 + theta), against `mass_`.
  const double need = 1 - std::log(share) + std::max(0.0, -std::log(mass_ * (1 + theta)));
  double best = kInfinity, order = 0;
  for (const double part : {0.4, 0.7, 1.0, 1.4, 0.2, 0.1, 0.05, 0.025}) {
    // Smaller orders pay only where larger ones reach the hits' branch of the cumulant.
    if (part < 0.4 && best < 15 * pilot_.deviation) break;
    const double s = part * std::sqrt(2 * need) / pilot_.deviation;
    const Cumulants k = estimate_cumulants(model_, theta + s);
    const double reach = (k.value - result_.cumulant_ + need) / s - pilot_.epsilon;
    if (std::isfinite(reach) && reach < best) {
      best = reach;
      order = s;
    }
  }
  if (!std::isfinite(best)) return false;
  const double tilted = round_to_bits(theta + order, 26);
  const auto right = total_cumulant(model_, tilted, 4, z_);
  if (!right || !(tilted > theta)) return false;
  result_.right_order_ = tilted - theta;  // exact: both have few bits
  result_.right_cumulant_ = right->value + right->error;
  best = (result_.right_cumulant_ - result_.cumulant_ + need) / result_.right_order_ - pilot_.epsilon;
  period = std::max({period, best, pilot_.deviation});
  result_.step_ = round_to_bits(2 * kPi / period, 20);
  result_.period_ = 2 * kPi / result_.step_ * (1 - 1e-12);
  return std::isfinite(period) && result_.step_ > 0;
}

double SpectrumBuilder::log_decay(double t) const {
  double bound = -0.5 * model_.mu2 * t * t * (1 - 1e-9);
  for (const Decay& decay : decays_) bound += decay.log_bound(t);
  return bound;
}

/// Cuts the frequencies where the bound of everything beyond is its share (section 5.3).
bool SpectrumBuilder::choose_frequencies() {
  const double target = 0.15 * tolerance_ * mass_, theta = result_.theta_;
  const double most = work_limit_ / 8;
  std::vector<double> t, tail;
  double next = 0.5 / pilot_.deviation;
  for (int i = 0; i < 400 && next < most * result_.step_; ++i, next *= 1.1) {
    t.push_back(next);
    const double decay = std::exp(log_decay(next));
    tail.push_back(decay);
    if (decay / (kPi * next) < 1e-2 * target) break;
  }
  if (t.size() < 2) return false;
  // Backwards: beyond the last probe the integrand is at most its decay over t^2.
  double sum = tail.back() / (kPi * t.back());
  std::size_t cut = t.size();
  for (std::size_t i = t.size(); i-- > 0;) {
    if (i + 1 < t.size()) sum += tail[i] * pole_factor(theta, t[i]) * (t[i + 1] - t[i]) / kPi;
    if (!(sum <= target)) break;
    cut = i;
    truncation_ = 1.001 * sum;
  }
  if (cut == t.size()) return false;
  const double count = std::ceil(t[cut] / result_.step_) + 1;
  if (!(count * 8 < work_limit_)) return false;
  count_ = static_cast<std::size_t>(count);
  largest_t_ = (count - 1) * result_.step_;
  double least = 0;  // what the widest spacing would cost, before any strip is integrated
  for (const Nodes& nodes : survey_) least += static_cast<double>(nodes.size) * nodes.spacing / (0.7 * nodes.sigma);
  return least * count < work_limit_;
}

/// Spacings for which the trapezoid error at every probe is a small part of the tolerance (section 4.3).
bool SpectrumBuilder::choose_grids() {
  const double theta = result_.theta_, share = 0.02 * tolerance_ / steps_;
  double work = 0;
  std::vector<double> spacing;
  std::vector<std::vector<std::vector<double>>> integrals;
  double allowed[kProbes];
  for (std::size_t g = 0; g < kProbes; ++g) {
    const double low = g + 1 < kProbes ? kProbeParts[g + 1] * largest_t_ : 0;
    const double weight =
        std::exp(log_decay(low)) * pole_factor(theta, low) * (kProbeParts[g] * largest_t_ - low) / kPi;
    allowed[g] = std::min(0.05 / steps_, share * mass_ / std::max(weight, 1e-300));
  }
  for (const Nodes& nodes : survey_) {
    const std::vector<double> angles = strip_angles(nodes.sigma);
    std::vector<std::vector<double>> table(kProbes + 1, std::vector<double>(angles.size(), kInfinity));
    double chosen = 0.7 * nodes.sigma;
    for (std::size_t g = 0; g <= kProbes; ++g) {
      double best = 0;
      for (std::size_t a = 0; a < angles.size(); ++a) {
        table[g][a] = strip_integral(nodes, angles[a], g < kProbes ? kProbeParts[g] * largest_t_ : 0);
        best = std::max(
            best, spacing_for(table[g][a], angles[a], nodes.sigma, g < kProbes ? allowed[g] : share * cancellation_));
      }
      chosen = std::min(chosen, best);
    }
    if (!(chosen > 0)) return false;
    const double width = static_cast<double>(nodes.size) * nodes.spacing;
    work += (width / chosen + 8) * static_cast<double>(count_);
    spacing.push_back(chosen);
    integrals.push_back(std::move(table));
  }
  if (!(work < work_limit_)) return false;
  for (std::size_t i = 0; i < survey_.size(); ++i)
    if (!add_grid(i, spacing[i], integrals[i])) return false;
  return true;
}

bool SpectrumBuilder::add_grid(std::size_t phase, double spacing, const std::vector<std::vector<double>>& integrals) {
  const auto nodes = make_nodes(model_.phases[phase], result_.theta_, spacing, z_);
  if (!nodes) return false;
  const NodeSums& sums = nodes->sums;
  const double* weight = nodes->column(Nodes::kWeight);
  const double* loss = nodes->column(Nodes::kLoss);
  const double allowance = 1e-3 * tolerance_ * cancellation_ / steps_ * sums.weight;
  std::size_t low = 0, high = nodes->size;
  double cut = 0;
  while (low + 8 < high && cut + weight[low] <= allowance) cut += weight[low++];
  while (low + 8 < high && cut + weight[high - 1] <= 2 * allowance) cut += weight[--high];
  while ((high - low) % 8 != 0) cut -= high < nodes->size ? weight[high++] : weight[--low];
  TrimmedStep step;
  step.centre = sums.mean_loss;
  step.weight.assign(weight + low, weight + high);
  for (std::size_t i = low; i < high; ++i) {
    step.deviation.push_back(loss[i] - sums.mean_loss);
    step.total += weight[i];
  }
  const std::vector<double> angles = strip_angles(nodes->sigma);
  const auto error_of = [&](const std::vector<double>& row) {
    double best = kInfinity;
    for (std::size_t a = 0; a < angles.size(); ++a)
      best = std::min(best, trapezoid_error(row[a], angles[a], nodes->sigma, nodes->spacing));
    return 1.01 * best;
  };
  for (std::size_t g = 0; g < kProbes; ++g) step.probe_error[g] = error_of(integrals[g]);
  // The cut sum is kept from below zero and from the rounding of its own additions.
  const double lost = (std::max(cut, 0.0) + 1e-9 * allowance) / sums.weight;
  step.fixed_error =
      error_of(integrals[kProbes]) + 2.02 * (lost + nodes->outside_weight() / (sums.weight * nodes->spacing));
  const double n = static_cast<double>(high - low);
  step.linear_error = 1.05 * (sums.loss_error + sums.weight_deviation + sums.weight_error * sums.mean_deviation +
                              kUnit * (40 + 1.5 * n) * sums.mean_deviation);
  steps_built_.push_back(std::move(step));
  return step.fixed_error < 0.01;
}

double SpectrumBuilder::quadrature_error(const TrimmedStep& step, double t) const {
  std::size_t g = 0;
  while (g + 1 < kProbes && t <= kProbeParts[g + 1] * largest_t_ * (1 - 1e-12)) ++g;
  return step.probe_error[g] + step.fixed_error + step.linear_error * t;
}

/// Adds count ln phi of one phase at all frequencies, and its relative error (section 6).
void SpectrumBuilder::add_phase(std::size_t phase, const std::vector<double>& t, std::vector<double>& log_modulus,
                                std::vector<double>& angle, std::vector<double>& turned, std::vector<double>& relative,
                                std::vector<double>& ceiling) const {
  const TrimmedStep& step = steps_built_[phase];
  const double count = model_.phases[phase].count;
  const std::size_t m = t.size();
  std::vector<double> re(m), im(m), excess(m), modulus2(m), start(m), sine(m), cosine(m);
  characteristic_sums(step.weight.data(), step.deviation.data(), step.weight.size(), t.data(), m, re.data(), im.data());
  for (std::size_t j = 0; j < m; ++j) {
    re[j] /= step.total;
    im[j] /= step.total;
    const double x = 1 + re[j];
    excess[j] = 2 * re[j] + (re[j] * re[j] + im[j] * im[j]);
    // Far from 1 the squared modulus itself is the accurate quantity.
    modulus2[j] = excess[j] < -0.5 ? std::max(x * x + im[j] * im[j], kVanishing) : 1 + excess[j];
    excess[j] = std::max(excess[j], -0.5);
    start[j] = std::atan2(im[j], 1 + re[j]);
  }
  simd::sincos_array(start.data(), m, sine.data(), cosine.data());
  std::vector<double> near = excess, far = modulus2;
  simd::log1p_inplace(near.data(), m);
  simd::log_inplace(far.data(), m);
  for (std::size_t j = 0; j < m; ++j) {
    const double x = 1 + re[j], size = std::hypot(re[j], im[j]), modulus = std::sqrt(modulus2[j]);
    const bool vanishing = modulus2[j] <= kVanishing;
    // One Newton step from whatever the C library said: its error is then that of our own sine and cosine.
    const double exact =
        vanishing ? 0 : start[j] + (im[j] * cosine[j] - x * sine[j]) / (x * cosine[j] + im[j] * sine[j]);
    const double error = quadrature_error(step, t[j]);
    log_modulus[j] += 0.5 * count * (excess[j] > -0.5 ? near[j] : far[j]);
    angle[j] += count * exact;
    turned[j] += count * std::fabs(exact);
    relative[j] += vanishing ? kInfinity : 1.001 * count * (error + 40 * kUnit * size) / modulus;
    ceiling[j] += (1 - 1e-9) * 0.5 * count * std::log(std::min(1.0, modulus2[j] + 2.1 * error + 1e-11));
  }
}

/// Coefficients (step/pi) phi(t_j) / (z_j (z_j + 1)), turned back by the centre of the loss, with their total error.
bool SpectrumBuilder::fill() {
  Spectrum& r = result_;
  r.frequency_.resize(count_);
  for (std::size_t j = 0; j < count_; ++j) r.frequency_[j] = static_cast<double>(j) * r.step_;
  const std::vector<double>& t = r.frequency_;
  std::vector<double> log_modulus(count_, 0.0), angle(count_, 0.0), turned(count_, 0.0), relative(count_, 0.0),
      ceiling(count_, 0.0);
  double centre_size = r.mean_ = model_.mu2 * (r.theta_ + 0.5);
  r.mean_error_ = r.mean_ * (model_.mu2_error + 4 * kUnit);
  for (std::size_t j = 0; j < count_; ++j) {
    log_modulus[j] = ceiling[j] = -0.5 * model_.mu2 * t[j] * t[j];
    relative[j] = -log_modulus[j] * (model_.mu2_error + 6 * kUnit);
  }
  for (std::size_t p = 0; p < survey_.size(); ++p) {
    add_phase(p, t, log_modulus, angle, turned, relative, ceiling);
    // The centre is an exact double of each final grid; only its product and the sum round.
    const double centre = model_.phases[p].count * steps_built_[p].centre;
    r.mean_ += centre;
    centre_size += std::fabs(centre);
  }
  const double terms = static_cast<double>(survey_.size());
  r.mean_error_ += (terms + 4) * kUnit * centre_size;
  std::vector<double> modulus = log_modulus, sine(count_), cosine(count_);
  simd::exp_inplace(modulus.data(), count_);
  simd::sincos_array(angle.data(), count_, sine.data(), cosine.data());
  r.real_.resize(count_);
  r.imaginary_.resize(count_);
  double error = truncation_;
  for (std::size_t j = 0; j < count_; ++j) {
    // z(z+1) = a + ib
    const double a = r.theta_ * (r.theta_ + 1) - t[j] * t[j], b = t[j] * (2 * r.theta_ + 1);
    const double scale = (j == 0 ? 0.5 : 1.0) * r.step_ / (kPi * (a * a + b * b));
    const double size = modulus[j] * pole_factor(r.theta_, t[j]) * (j == 0 ? 0.5 : 1.0) * r.step_ / kPi;
    r.real_[j] = scale * modulus[j] * (cosine[j] * a + sine[j] * b);
    r.imaginary_[j] = scale * modulus[j] * (sine[j] * a - cosine[j] * b);
    const double rounding = kUnit * ((8 + terms) * std::fabs(log_modulus[j]) + (4 + terms) * turned[j] + 60);
    const double charge = relative[j] + rounding;
    r.magnitude_ += size;
    r.first_moment_ += size * t[j];
    const double most = charge < 0.5
                            ? 1.3 * charge * size
                            : size + std::exp(std::min(0.0, ceiling[j])) * pole_factor(r.theta_, t[j]) * r.step_ / kPi;
    error += 1.001 * most;
  }
  r.error_ = error;
  r.magnitude_ *= 1.01;
  r.first_moment_ *= 1.01;
  return std::isfinite(error) && std::isfinite(r.magnitude_);
}

std::optional<Spectrum> Spectrum::build(const Model& model, const Pilot& pilot, double tolerance, double work_limit) {
  SpectrumBuilder builder(model, pilot, tolerance, work_limit);
  if (!builder.run()) return std::nullopt;
  return builder.take();
}

}  // namespace dpflash::accounting::inversion
