// calibrate: the value of one field that just meets a target.
#include <chrono>
#include <cmath>
#include <dpflash/accounting/calibrate.hpp>

#include "commands.hpp"
#include "plan_source.hpp"
#include "print.hpp"

namespace dpflash::cli {
namespace {

using accounting::Unknown;

/// Digits for people; noise must not be rounded below, nor steps or rates above, what was certified.
std::string safe(Unknown unknown, double value) {
  if (unknown == Unknown::steps) return std::to_string(static_cast<long long>(value));
  return rounded(value, 12, unknown == Unknown::noise_multiplier ? Toward::up : Toward::down);
}

const char* extreme(Unknown unknown) {
  switch (unknown) {
    case Unknown::noise_multiplier:
      return "least noise multiplier";
    case Unknown::steps:
      return "most steps";
    case Unknown::sampling_rate:
      return "highest sampling rate";
  }
  return "value";
}

std::string text(const Arguments& arguments, const accounting::Calibration& found, double seconds) {
  const accounting::Bracket& b = found.answer.bracket;
  return std::string(extreme(arguments.solve)) + " for epsilon <= " + shortest(arguments.epsilon) +
         " at delta = " + shortest(arguments.delta) + "\n  value       " + safe(arguments.solve, found.value) +
         "\n  epsilon     " + rounded(b.upper, 9, Toward::up) + " or less at this value (certified), and at least " +
         rounded(b.lower, 9, Toward::down) + "\n  accountant  pld, " + std::string(name_of(found.answer.engine)) +
         " engine\n  time        " + rounded(seconds, 3, Toward::nearest) + " s\n";
}

}  // namespace

std::string run_calibrate(const Arguments& arguments) {
  const auto [plan, event, unknown] = template_of(arguments.plan, arguments.solve);
  const auto start = std::chrono::steady_clock::now();
  const auto found = accounting::calibrate(plan, event, unknown, accounting::Epsilon(arguments.epsilon),
                                           accounting::Delta(arguments.delta), arguments.options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::string solve(name_of(unknown));
  const accounting::Bracket& b = found.answer.bracket;
  if (arguments.format == Format::text) return text(arguments, found, seconds);
  const std::string value =
      unknown == Unknown::steps ? std::to_string(static_cast<long long>(found.value)) : shortest(found.value);
  if (arguments.format == Format::csv) {
    return to_csv(
        {.columns = {"solve", "value", "epsilon_lower", "epsilon_estimate", "epsilon_upper", "delta", "seconds"},
         .rows = {{solve, value, shortest(b.lower), shortest(b.estimate), shortest(b.upper), shortest(arguments.delta),
                   shortest(seconds)}}});
  }
  JsonObject out;
  out.text("solve", solve).raw("value", value).bracket("epsilon", b).number("delta", arguments.delta);
  out.number("seconds", seconds).text("engine", name_of(found.answer.engine));
  out.text("adjacency", name_of(plan.adjacency));
  return out.done() + "\n";
}

}  // namespace dpflash::cli
