#include "arguments.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <initializer_list>
#include <sstream>
#include <utility>

#include "help.hpp"

namespace dpflash::cli {
namespace {

using accounting::NotComputable;
using accounting::UnusableInput;
using Text = std::optional<std::string>;

constexpr const char* kCommands = "epsilon, delta, calibrate, compare, runs, sensitivity, ledger (see dpflash --help)";

/// Options as written; conversion is ours, so that every message has one form and NaN, hex or blanks never pass.
struct Raw {
  Text delta, epsilon, target, solve, noise_multiplier, sampling_rate, steps, events, adjacency, accountant, engine,
      width, format, shape, mu, layers;
  bool plan = false;
  std::vector<std::string> paths;
  RawLedger ledger;
};

void add_plan_fields(CLI::App& command, Raw& raw) {
  const auto* const group = "Plan";
  command.add_option("--noise-multiplier", raw.noise_multiplier, "Noise over the clipping norm")
      ->type_name("S")
      ->group(group);
  command
      .add_option("--sampling-rate", raw.sampling_rate,
                  "Probability that a record is in a batch (Poisson); 1 by default")
      ->type_name("Q")
      ->group(group);
  command.add_option("--steps", raw.steps, "Number of steps; 1 by default")->type_name("T")->group(group);
  command.add_option("--events", raw.events, "Plan document; - is standard input")
      ->type_name("FILE.json|-")
      ->group(group);
  command.add_option("--adjacency", raw.adjacency, kAdjacencyHelp)->type_name("A")->group(group);
}

void add_plan_options(CLI::App& command, Raw& raw) {
  add_plan_fields(command, raw);
  command.add_option("--accountant", raw.accountant, "pld (default, certified both ways), rdp, basic (upper bounds)")
      ->type_name("NAME");
  command.add_option("--engine", raw.engine, "auto (default), lattice, inversion: how pld computes")->type_name("NAME");
  command.add_option("--relative-width", raw.width, "(upper - lower) / upper asked of the interval; 1e-4 by default")
      ->type_name("W");
  command.footer(kPlanHelp);
}

void add_sensitivity(CLI::App& app, Raw& raw) {
  auto* const command = app.add_subcommand("sensitivity", kSensitivityHelp);
  command->add_option("shape", raw.shape, "Attention shape document; - is standard input")->type_name("SHAPE.json|-");
  command->add_option("--mu", raw.mu, "mu of each release: print the noise for it")->type_name("M");
  command->add_option("--target-epsilon", raw.target, "Or epsilon of all layers together, with --delta")
      ->type_name("E");
  command->add_option("--delta", raw.delta, "Failure probability in (0, 1)")->type_name("D");
  command->add_option("--layers", raw.layers, "Releases of this shape, one a layer; 1 by default")->type_name("N");
  command->add_flag("--plan", raw.plan, "Print the releases as a plan for --events, and nothing else");
  command->add_option("--format", raw.format, "json (default) or text")->type_name("NAME");
  command->footer(kShapeHelp);
}

void add_ledger(CLI::App& app, Raw& raw) {
  auto* const command = app.add_subcommand("ledger", kLedgerAbout);
  add_ledger_actions(*command, raw.ledger, [&](CLI::App& action) {
    if (action.get_name() == "create")
      action.add_option("--adjacency", raw.adjacency, kAdjacencyHelp)->type_name("A");
    else
      add_plan_fields(action, raw);
  });
  for (CLI::App* const action : command->get_subcommands({}))
    action->add_option("--format", raw.format, "text (default) or json; show and report: csv; report: svg")
        ->type_name("NAME");
}

void add_commands(CLI::App& app, Raw& raw) {
  auto* epsilon = app.add_subcommand("epsilon", kEpsilonHelp);
  auto* delta = app.add_subcommand("delta", kDeltaHelp);
  auto* calibrate = app.add_subcommand("calibrate", kCalibrateHelp);
  auto* compare = app.add_subcommand("compare", kCompareHelp);
  auto* runs = app.add_subcommand("runs", kRunsHelp);
  for (CLI::App* command : {epsilon, calibrate, compare}) {
    command->add_option("--delta", raw.delta, "Failure probability in (0, 1) (required)")->type_name("D");
  }
  delta->add_option("--epsilon", raw.epsilon, "Privacy loss to ask at (required)")->type_name("E");
  calibrate->add_option("--target-epsilon", raw.target, "Epsilon not to exceed (required)")->type_name("E");
  calibrate->add_option("--solve", raw.solve, "noise-multiplier, steps or sampling-rate (required)")
      ->type_name("FIELD");
  runs->add_option("path", raw.paths, "Run files, or folders of *.json")->type_name("DIR|FILE...");
  for (CLI::App* command : {epsilon, delta, calibrate, compare}) add_plan_options(*command, raw);
  for (CLI::App* command : {epsilon, delta, calibrate, compare, runs}) {
    command->add_option("--format", raw.format, "text (default), json or csv")->type_name("NAME");
  }
  add_sensitivity(app, raw);
  add_ledger(app, raw);
}

std::string quoted(const std::string& text) {
  return "'" + (text.size() > 60 ? text.substr(0, 57) + "..." : text) + "'";
}

/// The value that goes with `text` among `choices`, or UnusableInput listing them.
template <class T>
T choose(const std::string& option, const std::string& text, std::initializer_list<std::pair<const char*, T>> choices) {
  std::string names;
  for (const auto& [name, value] : choices) {
    if (text == name) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw UnusableInput(option, quoted(text), "one of: " + names);
}

double number(const std::string& option, const Text& text, const std::string& allowed) {
  if (!text) throw UnusableInput(option, "a missing option", allowed);
  return parse_number(option, *text, allowed);
}

std::optional<double> maybe_number(const std::string& option, const Text& text, const std::string& allowed) {
  if (!text) return std::nullopt;
  return parse_number(option, *text, allowed);
}

std::optional<Accountant> accountant(const Text& text) {
  if (!text) return std::nullopt;
  for (const char* later : {"zcdp", "gdp", "advanced", "optimal"}) {
    if (*text == later) {
      throw NotComputable("--accountant: " + *text + " is not available in this version; available: pld, rdp, basic");
    }
  }
  return choose<Accountant>("--accountant", *text,
                            {{"pld", Accountant::pld}, {"rdp", Accountant::rdp}, {"basic", Accountant::basic}});
}

Format format(const Text& text) {
  if (!text) return Format::text;
  if (*text == "svg") {
    throw UnusableInput("--format", "svg",
                        "one of: text, json, csv (svg draws curves, which this version does not have)");
  }
  return choose<Format>("--format", *text, {{"text", Format::text}, {"json", Format::json}, {"csv", Format::csv}});
}

accounting::Options options(const Raw& raw, const std::optional<Accountant>& accountant) {
  using accounting::Engine;
  accounting::Options out;
  if (raw.engine) {
    out.engine =
        choose<Engine>("--engine", *raw.engine,
                       {{"auto", Engine::automatic}, {"lattice", Engine::lattice}, {"inversion", Engine::inversion}});
    if (out.engine != Engine::automatic && accountant && *accountant != Accountant::pld) {
      throw UnusableInput("--engine", *raw.engine, "auto, or --accountant pld: only pld has engines");
    }
  }
  const auto width = maybe_number("--relative-width", raw.width, "a number in [1e-12, 1]");
  if (!width) return out;
  if (!(*width >= 1e-12 && *width <= 1)) {
    throw UnusableInput("--relative-width", *raw.width, "a number in [1e-12, 1]");
  }
  out.relative_width = accounting::RelativeWidth(*width);
  return out;
}

PlanOptions plan_options(const Raw& raw) {
  PlanOptions out;
  out.events = raw.events;
  out.noise_multiplier = maybe_number("--noise-multiplier", raw.noise_multiplier, "a number in [0.001, 1e9]");
  out.sampling_rate = maybe_number("--sampling-rate", raw.sampling_rate, "a number in (0, 1], not below 1e-15");
  out.steps = maybe_number("--steps", raw.steps, "an integer in [1, 1e12]");
  if (raw.adjacency) out.adjacency = accounting::parse_adjacency(*raw.adjacency, "--adjacency");
  return out;
}

double checked_delta(const Raw& raw) {
  const double delta = number("--delta", raw.delta, "a number in (0, 1)");
  if (!(delta > 0 && delta < 1)) throw UnusableInput("--delta", *raw.delta, "a number in (0, 1)");
  return delta;
}

double checked_target(const Raw& raw) {
  const double target = number("--target-epsilon", raw.target, "a finite number above 0");
  if (!(target > 0)) throw UnusableInput("--target-epsilon", *raw.target, "a finite number above 0");
  return target;
}

SensitivityOptions sensitivity_options(const Raw& raw) {
  constexpr const char* kMu = "a number in [1e-9, 1000]";
  constexpr const char* kLayers = "an integer in [1, 10000]";
  if (!raw.shape) throw UnusableInput("shape", "a missing argument", "a shape document, or - for standard input");
  SensitivityOptions out{.shape = *raw.shape, .mu = maybe_number("--mu", raw.mu, kMu), .plan = raw.plan};
  if (out.mu && !(*out.mu >= 1e-9 && *out.mu <= 1e3)) throw UnusableInput("--mu", *raw.mu, kMu);
  if (out.mu && raw.target) throw UnusableInput("--mu", "the option beside --target-epsilon", "one of the two");
  if (raw.delta) out.delta = checked_delta(raw);
  if (raw.target) {
    out.epsilon = checked_target(raw);
    out.delta = checked_delta(raw);
  }
  const double layers = maybe_number("--layers", raw.layers, kLayers).value_or(1);
  if (!(layers >= 1 && layers <= 1e4 && layers == std::floor(layers)))
    throw UnusableInput("--layers", *raw.layers, kLayers);
  out.layers = static_cast<std::int64_t>(layers);
  return out;
}

Format ledger_format(const std::string& action, const Text& text) {
  const Format out = text && *text == "svg" ? Format::svg : format(text);
  const bool table = action == "show" || action == "report";
  if ((out == Format::csv && !table) || (out == Format::svg && action != "report"))
    throw UnusableInput("--format", *text, table ? "one of: text, json, csv" : "one of: text, json");
  return out;
}

Arguments checked_ledger(const std::string& action, const Raw& raw) {
  Arguments out{.command = Command::ledger, .format = ledger_format(action, raw.format)};
  out.plan = plan_options(raw);
  out.ledger = ledger_options(action, raw.ledger, out.plan.adjacency);
  return out;
}

Arguments checked(Command command, const Raw& raw) {
  Arguments out{.command = command, .format = format(raw.format), .paths = raw.paths};
  if (command == Command::runs) {
    if (raw.paths.empty()) throw UnusableInput("path", "a missing argument", "run files, or folders of *.json");
    return out;
  }
  if (command == Command::sensitivity) {
    if (!raw.format) out.format = Format::json;
    if (out.format == Format::csv) throw UnusableInput("--format", "csv", "one of: json, text");
    out.sensitivity = sensitivity_options(raw);
    return out;
  }
  if (command == Command::delta) {
    out.epsilon = number("--epsilon", raw.epsilon, "a finite number");
  } else {
    out.delta = checked_delta(raw);
  }
  if (command == Command::calibrate) {
    using accounting::Unknown;
    out.epsilon = checked_target(raw);
    if (!raw.solve)
      throw UnusableInput("--solve", "a missing option", "one of: noise-multiplier, steps, sampling-rate");
    out.solve = choose<Unknown>("--solve", *raw.solve,
                                {{"noise-multiplier", Unknown::noise_multiplier},
                                 {"steps", Unknown::steps},
                                 {"sampling-rate", Unknown::sampling_rate}});
  }
  out.accountant = accountant(raw.accountant);
  if (command == Command::calibrate && out.accountant && *out.accountant != Accountant::pld) {
    throw NotComputable("--accountant: calibrate by " + *raw.accountant +
                        " is not available in this version; available: pld");
  }
  out.options = options(raw, out.accountant);
  out.plan = plan_options(raw);
  return out;
}

[[noreturn]] void refuse_extras(const std::vector<std::string>& extras, const std::string& allowed) {
  for (const std::string& extra : extras) {
    if (extra.size() > 1 && extra[0] == '-') throw UnusableInput(extra, "an unknown option", allowed);
  }
  throw UnusableInput("arguments", extras.empty() ? "one of these" : quoted(extras.front()), allowed);
}

Command command_named(const std::string& name) {
  if (name == "curve")
    throw UnusableInput("command", name + ", which this version does not have,", std::string("one of: ") + kCommands);
  return choose<Command>("command", name,
                         {{"epsilon", Command::epsilon},
                          {"delta", Command::delta},
                          {"calibrate", Command::calibrate},
                          {"compare", Command::compare},
                          {"runs", Command::runs},
                          {"sensitivity", Command::sensitivity},
                          {"ledger", Command::ledger}});
}

}  // namespace

double parse_number(const std::string& field, const std::string& text, const std::string& allowed) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) throw UnusableInput(field, quoted(text), allowed);
  return value;
}

Arguments parse_arguments(int argc, const char* const* argv) {
  if (argc < 2) throw UnusableInput("command", "a missing command", std::string("one of: ") + kCommands);
  const std::string first = argv[1];
  if (first.empty() || first[0] != '-') (void)command_named(first);

  CLI::App app(kAbout, "dpflash");
  Raw raw;
  app.set_version_flag("--version", std::string("dpflash ") + DPFLASH_VERSION);
  app.footer(kExamples);
  app.get_formatter()->column_width(30);
  add_commands(app, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help or --version
    std::ostringstream out, err;
    app.exit(asked, out, err);
    return Arguments{.message = out.str()};
  } catch (const CLI::ExtrasError&) {
    refuse_extras(app.remaining(true), "what dpflash " + first + " --help lists");
  } catch (const CLI::ParseError& error) {
    throw UnusableInput("arguments", quoted(error.what()), "what dpflash " + first + " --help lists");
  }
  if (app.get_subcommands().size() != 1) {
    throw UnusableInput("command", "other than one command", std::string("one of: ") + kCommands);
  }
  const CLI::App& used = *app.get_subcommands().front();
  const Command command = command_named(used.get_name());
  if (command != Command::ledger) return checked(command, raw);
  if (used.get_subcommands().size() != 1)
    throw UnusableInput("action", used.get_subcommands().empty() ? "a missing action" : "other than one action",
                        "one of: create, reserve, spend, commit, abort, show, verify, report");
  return checked_ledger(used.get_subcommands().front()->get_name(), raw);
}

}  // namespace dpflash::cli
