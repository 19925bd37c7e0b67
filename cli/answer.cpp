// epsilon and delta: a bracket by the accountant asked for.
#include <chrono>
#include <cmath>
#include <dpflash/accounting/basic.hpp>
#include <dpflash/accounting/renyi.hpp>
#include <string_view>

#include "commands.hpp"
#include "plan_source.hpp"
#include "print.hpp"

namespace dpflash::cli {
namespace {

using accounting::Bracket;
using accounting::Delta;
using accounting::Epsilon;
using accounting::Plan;

struct Answered {
  Bracket bracket;
  /// Empty for accountants that have one way only.
  std::string_view engine = {};
  std::optional<double> order = std::nullopt;
};

Answered epsilon_by(Accountant accountant, const Plan& plan, const Arguments& arguments) {
  const Delta delta(arguments.delta);
  if (accountant == Accountant::basic) return {accounting::basic_epsilon(plan, delta)};
  if (accountant == Accountant::rdp) {
    const auto answer = accounting::rdp_epsilon(plan, delta);
    return {answer.bracket, {}, answer.order};
  }
  const auto answer = accounting::certified_epsilon(plan, delta, arguments.options);
  return {answer.bracket, name_of(answer.engine)};
}

Answered delta_by(Accountant accountant, const Plan& plan, const Arguments& arguments) {
  const Epsilon epsilon(arguments.epsilon);
  if (accountant == Accountant::basic) return {accounting::basic_delta(plan, epsilon)};
  if (accountant == Accountant::rdp) {
    const auto answer = accounting::rdp_delta(plan, epsilon);
    return {answer.bracket, {}, answer.order};
  }
  const auto answer = accounting::certified_delta(plan, epsilon, arguments.options);
  return {answer.bracket, name_of(answer.engine)};
}

std::string_view name_of(Accountant accountant) {
  switch (accountant) {
    case Accountant::pld:
      return "pld";
    case Accountant::rdp:
      return "rdp";
    case Accountant::basic:
      return "basic";
  }
  return "unknown";
}

/// The question and its answer, ready to be printed in any format.
struct Report {
  std::string_view accountant;
  Answered answered;
  std::string_view adjacency;
  std::string_view at_name;
  double at;
  std::string_view name;
  double seconds;
  std::string plan;
};

std::string json(const Report& r) {
  JsonObject out;
  out.text("accountant", r.accountant);
  if (!r.answered.engine.empty()) out.text("engine", r.answered.engine);
  out.text("adjacency", r.adjacency).number(r.at_name, r.at).bracket(r.name, r.answered.bracket);
  out.number("seconds", r.seconds);
  if (r.answered.order) out.number("order", *r.answered.order);
  return out.done() + "\n";
}

std::string csv(const Report& r) {
  const std::string name(r.name);
  const Bracket& b = r.answered.bracket;
  return to_csv(
      {.columns = {"accountant", "engine", "adjacency", std::string(r.at_name), name + "_lower", name + "_estimate",
                   name + "_upper", "seconds"},
       .rows = {{std::string(r.accountant), std::string(r.answered.engine), std::string(r.adjacency), shortest(r.at),
                 shortest(b.lower), shortest(b.estimate), shortest(b.upper), shortest(r.seconds)}}});
}

std::string text(const Report& r) {
  const Bracket& b = r.answered.bracket;
  const std::string name(r.name);
  const bool two_sided = r.accountant == "pld";
  std::string how(r.accountant);
  if (!r.answered.engine.empty()) how += ", " + std::string(r.answered.engine) + " engine";
  if (r.answered.order) how += ", order " + rounded(*r.answered.order, 6, Toward::nearest);
  const std::string upper = std::isfinite(b.upper) ? rounded(b.upper, 9, Toward::up) : "unbounded";
  std::string out = name + " at " + std::string(r.at_name) + " = " + shortest(r.at) + "\n";
  const auto line = [&](const std::string& label, const std::string& value) {
    out += "  " + label + std::string(12 - label.size(), ' ') + value + "\n";
  };
  const auto end = [&](const std::string& value, const std::string& meaning) {
    return value + std::string(value.size() < 16 ? 16 - value.size() : 1, ' ') + meaning;
  };
  line("upper", end(upper, "certified: the true " + name + " is not above it; publish this"));
  if (two_sided)
    line("lower", end(rounded(b.lower, 9, Toward::down), "certified: the true " + name + " is not below it"));
  if (two_sided && std::isfinite(b.estimate))
    line("estimate", end(rounded(b.estimate, 9, Toward::nearest), "not certified"));
  line("plan", r.plan);
  line("adjacency", std::string(r.adjacency));
  line("accountant", how + (two_sided ? "" : " (bounds from above only)"));
  line("time", rounded(r.seconds, 3, Toward::nearest) + " s");
  return out;
}

}  // namespace

std::string run_epsilon_or_delta(const Arguments& arguments) {
  const Plan plan = plan_of(arguments.plan);
  const Accountant accountant = arguments.accountant.value_or(Accountant::pld);
  const bool epsilon = arguments.command == Command::epsilon;
  const auto start = std::chrono::steady_clock::now();
  const Answered answered = epsilon ? epsilon_by(accountant, plan, arguments) : delta_by(accountant, plan, arguments);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const Report report{.accountant = name_of(accountant),
                      .answered = answered,
                      .adjacency = accounting::name_of(plan.adjacency),
                      .at_name = epsilon ? "delta" : "epsilon",
                      .at = epsilon ? arguments.delta : arguments.epsilon,
                      .name = epsilon ? "epsilon" : "delta",
                      .seconds = took.count(),
                      .plan = summary(plan)};
  switch (arguments.format) {
    case Format::json:
      return json(report);
    case Format::csv:
      return csv(report);
    case Format::text:
    case Format::svg:  // arguments refuse it here
      break;
  }
  return text(report);
}

}  // namespace dpflash::cli
