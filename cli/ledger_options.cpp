#include "ledger_options.hpp"

#include <charconv>
#include <dpflash/accounting/error.hpp>

#include "arguments.hpp"
#include "help.hpp"

namespace dpflash::cli {
namespace {

using accounting::UnusableInput;
using Action = LedgerOptions::Action;
using Text = RawLedger::Text;

struct Named {
  const char* name;
  Action action;
  const char* help;
};

constexpr Named kActions[] = {
    {"create", Action::create, "Make a ledger with a budget: --epsilon and --delta for everything it will record."},
    {"reserve", Action::reserve, "Set a plan aside: it counts against the budget until it is committed or aborted."},
    {"spend", Action::spend, "Record a release that is about to happen, if the budget allows it. Release afterwards."},
    {"commit", Action::commit, "Record that a reservation, or part of it, is about to be released."},
    {"abort", Action::abort, "Give back what a reservation still holds, which was never released."},
    {"show", Action::show, "The budget, what is spent and reserved, and the last entries."},
    {"verify", Action::verify, "Read every entry: was anything edited, dropped or moved? Exit status 4 when it was."},
    {"report", Action::report, "Who spent what: each group's epsilon alone, and what leaving it out would save."},
};

bool takes_plan(Action action) { return action == Action::reserve || action == Action::spend; }
bool takes_reservation(Action action) { return action == Action::commit || action == Action::abort; }

std::int64_t integer(const std::string& option, const std::string& text, std::int64_t least, const char* allowed) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < least)
    throw UnusableInput(option, "'" + text.substr(0, 60) + "'", allowed);
  return value;
}

double positive(const std::string& option, const Text& text, const std::string& allowed) {
  if (!text) throw UnusableInput(option, "a missing option", allowed);
  return parse_number(option, *text, allowed);
}

ledger::Budget budget_of(const RawLedger& raw, std::optional<accounting::Adjacency> adjacency) {
  const double epsilon = positive("--epsilon", raw.epsilon, "a number in [0, 1e6]");
  const double delta = positive("--delta", raw.delta, "a number in (0, 1)");
  if (!(epsilon >= 0 && epsilon <= 1e6)) throw UnusableInput("--epsilon", *raw.epsilon, "a number in [0, 1e6]");
  if (!(delta > 0 && delta < 1)) throw UnusableInput("--delta", *raw.delta, "a number in (0, 1)");
  return {accounting::Epsilon(epsilon), accounting::Delta(delta),
          adjacency.value_or(accounting::Adjacency::add_or_remove_one)};
}

/// FIRST:LAST, or one step.
ledger::Steps steps_of(const std::string& text) {
  constexpr const char* kAllowed = "FIRST:LAST with 0 <= FIRST <= LAST, or one step";
  const std::size_t colon = text.find(':');
  ledger::Steps out;
  out.first = integer("--step-range", text.substr(0, colon), 0, kAllowed);
  out.last = colon == std::string::npos ? out.first : integer("--step-range", text.substr(colon + 1), 0, kAllowed);
  if (out.last < out.first) throw UnusableInput("--step-range", "'" + text.substr(0, 60) + "'", kAllowed);
  return out;
}

}  // namespace

void add_ledger_actions(CLI::App& command, RawLedger& raw, const std::function<void(CLI::App&)>& add_plan) {
  command.footer(kLedgerHelp);
  for (const Named& named : kActions) {
    CLI::App& action = *command.add_subcommand(named.name, named.help);
    action.add_option("file", raw.file, "The ledger's file")->type_name("FILE");
    if (named.action == Action::create) {
      action.add_option("--epsilon", raw.epsilon, "Epsilon of everything together (required)")->type_name("E");
      action.add_option("--delta", raw.delta, "At this delta, in (0, 1) (required)")->type_name("D");
    }
    if (takes_plan(named.action)) {
      action.add_option("--run", raw.run, "Label: which run")->type_name("NAME");
      action.add_option("--layer", raw.layer, "Label: which layer; else the label of each event")->type_name("NAME");
      action.add_option("--head", raw.head, "Label: which head")->type_name("NAME");
      action.add_option("--step-range", raw.span, "Label: which steps of the run")->type_name("FIRST:LAST");
    }
    if (takes_plan(named.action) || named.action == Action::create) add_plan(action);
    if (takes_reservation(named.action))
      action.add_option("reservation", raw.reservation, "Number of the reservation's entry")->type_name("NUMBER");
    if (named.action == Action::commit)
      action.add_option("--count", raw.count, "So many releases of it; the rest stays reserved")->type_name("N");
    if (named.action == Action::show)
      action.add_option("--last", raw.last, "Entries to print, the last; 20 by default")->type_name("N");
    if (named.action == Action::verify)
      action.add_option("--receipt", raw.receipts, "A receipt whose entry must be there; may be given again")
          ->type_name("SEQUENCE:HASH");
    if (named.action == Action::report)
      action.add_option("--by", raw.by, "run, layer, head or all (default)")->type_name("NAME");
  }
}

LedgerOptions ledger_options(const std::string& action, const RawLedger& raw,
                             std::optional<accounting::Adjacency> adjacency) {
  LedgerOptions out;
  for (const Named& named : kActions)
    if (action == named.name) out.action = named.action;
  if (!raw.file) throw UnusableInput("file", "a missing argument", "the ledger's file");
  out.file = *raw.file;
  if (out.action == Action::create) out.budget = budget_of(raw, adjacency);
  out.labels = {.run = raw.run.value_or(""), .layer = raw.layer.value_or(""), .head = raw.head.value_or("")};
  if (raw.span) out.labels.steps = steps_of(*raw.span);
  if (takes_reservation(out.action)) {
    constexpr const char* kAllowed = "the number of the reservation's entry";
    if (!raw.reservation) throw UnusableInput("reservation", "a missing argument", kAllowed);
    out.reservation = integer("reservation", *raw.reservation, 1, kAllowed);
  }
  if (raw.count) out.count = integer("--count", *raw.count, 1, "an integer of at least 1");
  if (raw.last) out.last = integer("--last", *raw.last, 0, "an integer of at least 0");
  if (raw.by) out.by = ledger::parse_grouping(*raw.by, "--by");
  for (const std::string& receipt : raw.receipts) out.receipts.push_back(ledger::parse_receipt(receipt, "--receipt"));
  return out;
}

}  // namespace dpflash::cli
