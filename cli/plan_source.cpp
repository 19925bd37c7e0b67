#include "plan_source.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <dpflash/accounting/error.hpp>
#include <memory>
#include <utility>

#include "print.hpp"

namespace dpflash::cli {
namespace {

using accounting::Plan;
using accounting::PlanTemplate;
using accounting::Unknown;
using accounting::UnusableInput;

struct Close {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};

[[noreturn]] void unreadable(const std::string& field, const std::string& file) {
  throw UnusableInput(field, file + " (" + std::strerror(errno) + ")",
                      "a file that can be read, or - for standard input");
}

/// Names a field of the shorthand as its option: noise_multiplier becomes --noise-multiplier.
[[noreturn]] void rethrow_as_option(const UnusableInput& error) {
  std::string option = "--" + error.field();
  std::replace(option.begin(), option.end(), '_', '-');
  const std::string rest = std::string(error.what()).substr(error.field().size() + 2);
  const std::size_t middle = rest.find(" is not allowed; ");
  throw UnusableInput(option, rest.substr(0, middle), rest.substr(middle + 17));
}

void refuse_shorthand(const PlanOptions& options) {
  const std::array<std::pair<const char*, bool>, 3> given = {
      {{"--noise-multiplier", options.noise_multiplier.has_value()},
       {"--sampling-rate", options.sampling_rate.has_value()},
       {"--steps", options.steps.has_value()}}};
  for (const auto& [option, is_given] : given) {
    if (is_given)
      throw UnusableInput(option, "the option beside --events", "one of the two: the document holds the plan");
  }
}

/// The numbers of the DP-SGD shorthand, defaults filled in.
struct Shorthand {
  double noise_multiplier;
  double sampling_rate;
  double steps;
};

Plan shorthand_plan(const Shorthand& given, const PlanOptions& options) {
  if (!(given.steps >= 1 && given.steps <= 1e12 && given.steps == std::floor(given.steps))) {
    throw UnusableInput("--steps", shortest(given.steps), "an integer in [1, 1e12]");
  }
  try {
    return accounting::dpsgd_plan(given.noise_multiplier, given.sampling_rate, static_cast<std::int64_t>(given.steps),
                                  options.adjacency.value_or(accounting::Adjacency::add_or_remove_one));
  } catch (const UnusableInput& error) {
    rethrow_as_option(error);
  }
}

/// The noise multiplier, or the message that there is no plan.
double required_noise(const PlanOptions& options) {
  if (options.noise_multiplier) return *options.noise_multiplier;
  throw UnusableInput("plan", "a missing plan",
                      "--noise-multiplier S [--sampling-rate Q] [--steps T], or --events FILE|-");
}

PlanTemplate shorthand_template(const PlanOptions& options, Unknown solve) {
  const std::optional<double>& field = solve == Unknown::noise_multiplier ? options.noise_multiplier
                                       : solve == Unknown::steps          ? options.steps
                                                                          : options.sampling_rate;
  if (field) {
    throw UnusableInput("--" + std::string(name_of(solve)), shortest(*field), "nothing: --solve asks for this field");
  }
  // The field that is left out takes its default, or for noise 1: the solver ignores what it holds.
  const double noise = solve == Unknown::noise_multiplier ? 1 : required_noise(options);
  const Shorthand given{noise, options.sampling_rate.value_or(1), options.steps.value_or(1)};
  PlanTemplate out{.plan = shorthand_plan(given, options), .event = 0, .unknown = solve};
  if (solve == Unknown::sampling_rate) out.plan.events[0].sampling = accounting::PoissonSampling{1};
  return out;
}

std::string words(const accounting::Mechanism& mechanism) {
  if (const auto* g = std::get_if<accounting::Gaussian>(&mechanism)) {
    return "gaussian, noise multiplier " + shortest(g->noise_multiplier);
  }
  if (const auto* l = std::get_if<accounting::Laplace>(&mechanism)) {
    return "laplace, noise multiplier " + shortest(l->noise_multiplier);
  }
  const auto& e = std::get<accounting::EpsilonDelta>(mechanism);
  return "a mechanism with epsilon " + shortest(e.epsilon) + ", delta " + shortest(e.delta);
}

}  // namespace

std::string read_text(const std::string& field, const std::string& file) {
  errno = 0;
  const std::unique_ptr<std::FILE, Close> in(file == "-" ? stdin : std::fopen(file.c_str(), "rb"));
  if (!in) unreadable(field, file);
  std::string text;
  std::array<char, 65536> block{};
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), in.get())) {
    text.append(block.data(), n);
    if (text.size() > accounting::kMaxPlanBytes) throw UnusableInput(field, file + " (over 16 MiB)", "at most 16 MiB");
  }
  if (std::ferror(in.get()) != 0) unreadable(field, file);
  return text;
}

Plan plan_of(const PlanOptions& options) {
  if (!options.events) {
    const double noise = required_noise(options);
    return shorthand_plan({noise, options.sampling_rate.value_or(1), options.steps.value_or(1)}, options);
  }
  refuse_shorthand(options);
  Plan plan = accounting::parse_plan(read_text("--events", *options.events));
  if (options.adjacency) plan.adjacency = *options.adjacency;
  return plan;
}

PlanTemplate template_of(const PlanOptions& options, Unknown solve) {
  if (!options.events) return shorthand_template(options, solve);
  refuse_shorthand(options);
  PlanTemplate out = accounting::parse_plan_with_hole(read_text("--events", *options.events));
  if (out.unknown != solve) {
    throw UnusableInput(
        "--solve", std::string(name_of(solve)),
        std::string(name_of(out.unknown)) + ": the field that is null in events[" + std::to_string(out.event) + "]");
  }
  if (options.adjacency) out.plan.adjacency = *options.adjacency;
  return out;
}

std::string summary(const Plan& plan) {
  if (plan.events.empty()) return "no events: nothing is released";
  if (plan.events.size() > 1) return std::to_string(plan.events.size()) + " events";
  const accounting::Event& event = plan.events[0];
  std::string out = words(event.mechanism);
  if (const auto* poisson = std::get_if<accounting::PoissonSampling>(&event.sampling)) {
    out += ", poisson sampling rate " + shortest(poisson->rate);
  }
  return out + (event.count == 1 ? ", once" : ", " + std::to_string(event.count) + " times");
}

}  // namespace dpflash::cli
