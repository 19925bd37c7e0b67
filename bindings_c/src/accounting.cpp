#include <dpflash/dpflash.h>

#include <chrono>
#include <cmath>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/basic.hpp>
#include <dpflash/accounting/calibrate.hpp>
#include <dpflash/accounting/compare.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <dpflash/accounting/renyi.hpp>
#include <nlohmann/json.hpp>
#include <optional>

#include "guard.hpp"
#include "structs.hpp"

namespace dpflash::c {
namespace {

using accounting::Bracket;
using accounting::Delta;
using accounting::Engine;
using accounting::Epsilon;
using accounting::NotComputable;
using accounting::Plan;
using accounting::UnusableInput;
using Json = nlohmann::ordered_json;

constexpr dpf_options kOptions = DPF_OPTIONS_INIT;

/// Options whose every number has been checked.
struct Question {
  std::int32_t accountant;
  accounting::Options pld;
};

Engine engine_of(std::int32_t engine) {
  switch (engine) {
    case DPF_ENGINE_AUTO:
      return Engine::automatic;
    case DPF_ENGINE_LATTICE:
      return Engine::lattice;
    case DPF_ENGINE_INVERSION:
      return Engine::inversion;
    default:
      throw UnusableInput("options.engine", std::to_string(engine), "a DPF_ENGINE_ constant");
  }
}

Question read_options(const dpf_options* given) {
  const dpf_options options = read_struct(given, kOptions, "options");
  if (options.accountant < DPF_ACCOUNTANT_PLD || options.accountant > DPF_ACCOUNTANT_BASIC) {
    throw UnusableInput("options.accountant", std::to_string(options.accountant), "a DPF_ACCOUNTANT_ constant");
  }
  const Engine engine = engine_of(options.engine);
  if (engine != Engine::automatic && options.accountant != DPF_ACCOUNTANT_PLD) {
    throw UnusableInput("options.engine", std::to_string(options.engine), "DPF_ENGINE_AUTO: only pld has engines");
  }
  return {options.accountant, {.engine = engine, .relative_width = accounting::RelativeWidth(options.relative_width)}};
}

const char* name_of(std::int32_t accountant) {
  return accountant == DPF_ACCOUNTANT_PLD ? "pld" : accountant == DPF_ACCOUNTANT_RDP ? "rdp" : "basic";
}

/// Json writes infinities as null.
Json json_of(const Bracket& bracket) {
  Json out{{"lower", bracket.lower}, {"estimate", bracket.estimate}, {"upper", bracket.upper}};
  if (!std::isfinite(bracket.upper)) out["unbounded"] = true;
  return out;
}

struct Answered {
  Bracket bracket;
  std::optional<Engine> engine = std::nullopt;
  std::optional<double> order = std::nullopt;
};

Answered epsilon_of(const Question& question, const Plan& plan, Delta delta) {
  if (question.accountant == DPF_ACCOUNTANT_BASIC) return {accounting::basic_epsilon(plan, delta)};
  if (question.accountant == DPF_ACCOUNTANT_RDP) {
    const auto answer = accounting::rdp_epsilon(plan, delta);
    return {answer.bracket, std::nullopt, answer.order};
  }
  const auto answer = accounting::certified_epsilon(plan, delta, question.pld);
  return {answer.bracket, answer.engine};
}

Answered delta_of(const Question& question, const Plan& plan, Epsilon epsilon) {
  if (question.accountant == DPF_ACCOUNTANT_BASIC) return {accounting::basic_delta(plan, epsilon)};
  if (question.accountant == DPF_ACCOUNTANT_RDP) {
    const auto answer = accounting::rdp_delta(plan, epsilon);
    return {answer.bracket, std::nullopt, answer.order};
  }
  const auto answer = accounting::certified_delta(plan, epsilon, question.pld);
  return {answer.bracket, answer.engine};
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double finite(double value, const char* field) {
  if (!std::isfinite(value)) throw UnusableInput(field, std::to_string(value), "a finite number");
  return value;
}

/// The JSON of one question: `ask` gives the bracket called `name` at `at`.
template <class Ask>
std::string answer(const Question& question, const Plan& plan, const char* at_name, double at, const char* name,
                   const Ask& ask) {
  const auto start = std::chrono::steady_clock::now();
  const Answered answered = ask();
  const double seconds = seconds_since(start);
  Json out{{"accountant", name_of(question.accountant)}};
  if (answered.engine) out["engine"] = accounting::name_of(*answered.engine);
  out["adjacency"] = accounting::name_of(plan.adjacency);
  out[at_name] = at;
  out[name] = json_of(answered.bracket);
  out["seconds"] = seconds;
  if (answered.order) out["order"] = *answered.order;
  return out.dump();
}

}  // namespace
}  // namespace dpflash::c

using namespace dpflash::c;

int dpf_options_init(dpf_options* options, uint32_t abi_version) {
  return guard([&] { init_struct(options, kOptions, abi_version, "options"); });
}

int dpf_epsilon_json(const char* plan, size_t plan_length, double delta, const dpf_options* options, char* buffer,
                     size_t capacity, size_t* size) {
  return guard([&] {
    const TextTarget target{buffer, capacity, size};
    target.check();
    const Question question = read_options(options);
    const Delta checked(delta);
    const Plan parsed = dpflash::accounting::parse_plan(read_text(plan, plan_length, "plan"));
    target.write(
        answer(question, parsed, "delta", delta, "epsilon", [&] { return epsilon_of(question, parsed, checked); }));
  });
}

int dpf_delta_json(const char* plan, size_t plan_length, double epsilon, const dpf_options* options, char* buffer,
                   size_t capacity, size_t* size) {
  return guard([&] {
    const TextTarget target{buffer, capacity, size};
    target.check();
    const Question question = read_options(options);
    const Epsilon checked(finite(epsilon, "epsilon"));
    const Plan parsed = dpflash::accounting::parse_plan(read_text(plan, plan_length, "plan"));
    target.write(
        answer(question, parsed, "epsilon", epsilon, "delta", [&] { return delta_of(question, parsed, checked); }));
  });
}

int dpf_compare_json(const char* plan, size_t plan_length, double delta, const dpf_options* options, char* buffer,
                     size_t capacity, size_t* size) {
  return guard([&] {
    const TextTarget target{buffer, capacity, size};
    target.check();
    const Question question = read_options(options);
    const Delta checked(delta);
    const Plan parsed = dpflash::accounting::parse_plan(read_text(plan, plan_length, "plan"));
    Json rows = Json::array();
    for (const auto& result : dpflash::accounting::compare(parsed, checked, question.pld)) {
      Json row{{"accountant", result.accountant}, {"epsilon", json_of(result.epsilon)}, {"seconds", result.seconds}};
      if (result.order) row["order"] = *result.order;
      if (!result.engine.empty()) row["engine"] = result.engine;
      if (!result.note.empty()) row["note"] = result.note;
      rows.push_back(std::move(row));
    }
    target.write(
        Json{{"delta", delta}, {"adjacency", dpflash::accounting::name_of(parsed.adjacency)}, {"results", rows}}
            .dump());
  });
}

int dpf_calibrate_json(const char* plan, size_t plan_length, double target_epsilon, double delta,
                       const dpf_options* options, char* buffer, size_t capacity, size_t* size) {
  return guard([&] {
    const TextTarget target{buffer, capacity, size};
    target.check();
    const Question question = read_options(options);
    if (question.accountant != DPF_ACCOUNTANT_PLD)
      throw NotComputable("options.accountant: calibration is by pld alone");
    const Epsilon epsilon(finite(target_epsilon, "target_epsilon"));
    if (!(target_epsilon > 0))
      throw UnusableInput("target_epsilon", std::to_string(target_epsilon), "a number above 0");
    const Delta checked(delta);
    const auto hole = dpflash::accounting::parse_plan_with_hole(read_text(plan, plan_length, "plan"));
    const auto start = std::chrono::steady_clock::now();
    const auto found =
        dpflash::accounting::calibrate(hole.plan, hole.event, hole.unknown, epsilon, checked, question.pld);
    Json out{{"solve", dpflash::accounting::name_of(hole.unknown)}};
    if (hole.unknown == dpflash::accounting::Unknown::steps) {
      out["value"] = static_cast<std::int64_t>(found.value);
    } else {
      out["value"] = found.value;
    }
    out["epsilon"] = json_of(found.answer.bracket);
    out["delta"] = delta;
    out["seconds"] = seconds_since(start);
    out["engine"] = dpflash::accounting::name_of(found.answer.engine);
    out["adjacency"] = dpflash::accounting::name_of(hole.plan.adjacency);
    target.write(out.dump());
  });
}
