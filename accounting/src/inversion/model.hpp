// What the inversion composes, and its unrigorous pilot: where the saddle point lies (docs/math/inversion.md, sections
// 1, 7).
#pragma once

#include <optional>
#include <vector>

#include "inversion/nodes.hpp"
#include "loss/step.hpp"

namespace dpflash::accounting::inversion {

/// All Gaussian steps as one variance, the sampled ones by phase.
struct Model {
  double mu2 = 0;        // sum of count mu^2
  double mu2_error = 0;  // relative
  std::vector<SampledPhase> phases;
};

/// Empty when a phase has no transform here or its parameters are outside what is provided for.
std::optional<Model> model_of(const Composition& composition, Direction direction);

/// The composed loss never exceeds this (infinity if unbounded), rounded up.
double largest_loss(const Model& model);

/// Where to tilt: theta has at most 26 significant bits. Everything here is an estimate and needs no error bound.
struct Pilot {
  double theta;
  double epsilon;    // estimate of the answer (given or found)
  double log_delta;  // likewise
  double deviation;  // standard deviation of the tilted loss
  double log_main;   // logarithm of the transform's value A at the answer
};

/// Estimates of K, K', K'' at theta; not finite when the grid refuses.
struct Cumulants {
  double value;
  double first;
  double second;
};
Cumulants estimate_cumulants(const Model& model, double theta);

std::optional<Pilot> pilot_for_delta(const Model& model, double delta);
std::optional<Pilot> pilot_for_epsilon(const Model& model, double epsilon);

/// The theta that minimises the Chernoff bound at epsilon; for proves_delta_at_most.
std::optional<double> chernoff_theta(const Model& model, double epsilon);

/// Spacing at which a grid resolves one tilted step, up to the factor `fineness`.
double natural_spacing(const SampledPhase& phase, double fineness);

}  // namespace dpflash::accounting::inversion
