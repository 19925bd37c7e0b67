#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan.hpp>

#include "plan/number.hpp"

namespace dpflash::accounting {
namespace {

void check(const Range& range, const std::string& field, double value) {
  if (!range.contains(value)) throw UnusableInput(field, shortest(value), range.words);
}

void check_count(const std::string& field, std::int64_t count) {
  if (!kCount.contains(static_cast<double>(count))) throw UnusableInput(field, std::to_string(count), kCount.words);
}

struct MechanismCheck {
  const std::string& at;

  void operator()(const Gaussian& g) const { check(kNoiseMultiplier, at + ".noise_multiplier", g.noise_multiplier); }
  void operator()(const Laplace& l) const { check(kNoiseMultiplier, at + ".noise_multiplier", l.noise_multiplier); }
  void operator()(const EpsilonDelta& e) const {
    check(kEpsilon, at + ".epsilon", e.epsilon);
    check(kDelta, at + ".delta", e.delta);
  }
};

}  // namespace

std::string_view name_of(Adjacency adjacency) {
  switch (adjacency) {
    case Adjacency::add_or_remove_one:
      return "add-or-remove-one";
    case Adjacency::replace_one:
      return "replace-one";
    case Adjacency::replace_special:
      return "replace-special";
    case Adjacency::add_one:
      return "add-one";
    case Adjacency::remove_one:
      return "remove-one";
  }
  return "unknown";
}

std::string_view name_of(Unknown unknown) {
  switch (unknown) {
    case Unknown::noise_multiplier:
      return "noise-multiplier";
    case Unknown::steps:
      return "steps";
    case Unknown::sampling_rate:
      return "sampling-rate";
  }
  return "unknown";
}

void validate(const Plan& plan) {
  if (name_of(plan.adjacency) == "unknown") {
    throw UnusableInput("adjacency", std::to_string(static_cast<int>(plan.adjacency)), "a named enumerator");
  }
  std::int64_t total = 0;
  for (std::size_t i = 0; i < plan.events.size(); ++i) {
    const Event& event = plan.events[i];
    const std::string at = "events[" + std::to_string(i) + "]";
    std::visit(MechanismCheck{at + ".mechanism"}, event.mechanism);
    if (const auto* poisson = std::get_if<PoissonSampling>(&event.sampling)) {
      check(kRate, at + ".sampling.rate", poisson->rate);
    }
    check_count(at + ".count", event.count);
    total += event.count;
    if (total > kTotalCount) {
      throw UnusableInput(at + ".count", std::to_string(event.count),
                          "counts that add up to at most 1e15 over all events");
    }
  }
}

Plan dpsgd_plan(double noise_multiplier, double sampling_rate, std::int64_t steps, Adjacency adjacency) {
  check(kNoiseMultiplier, "noise_multiplier", noise_multiplier);
  check(kRate, "sampling_rate", sampling_rate);
  check_count("steps", steps);
  Event event{.mechanism = Gaussian{noise_multiplier}, .count = steps};
  if (sampling_rate < 1) event.sampling = PoissonSampling{sampling_rate};
  return Plan{.adjacency = adjacency, .events = {event}};
}

}  // namespace dpflash::accounting
