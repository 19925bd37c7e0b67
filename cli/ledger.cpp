// ledger: what was released, against a budget that cannot be overspent.
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>

#include "commands.hpp"
#include "plan_source.hpp"
#include "print.hpp"

namespace dpflash::cli {
namespace {

using ledger::Ledger;
using ledger::Receipt;
using Action = LedgerOptions::Action;

std::string up(double x) { return rounded(x, 7, Toward::up); }

std::string budget_text(const ledger::Budget& b) {
  return "epsilon " + shortest(b.epsilon.value()) + " at delta " + shortest(b.delta.value()) + ", " +
         std::string(accounting::name_of(b.adjacency));
}

std::string state_text(const ledger::State& s) {
  std::string out = "budget    " + budget_text(s.budget) + "\n";
  out += "spent     epsilon at most " + up(s.spent.upper) + "\n";
  out += "claimed   epsilon at most " + up(s.claimed.upper) + ", with what is reserved\n";
  return out;
}

/// What was recorded, and where the ledger stands. The entry is on the disk by now: whatever goes wrong here must not
/// look as if it were not.
std::string recorded(const Ledger& at, const Receipt& receipt, Format format) {
  std::optional<ledger::State> state;
  try {
    state = at.state();
  } catch (const std::exception&) {
    state.reset();
  }
  if (format == Format::json) {
    JsonObject out;
    out.integer("sequence", receipt.sequence).text("hash", receipt.hash);
    if (state) out.bracket("spent", state->spent).bracket("claimed", state->claimed);
    return out.done() + "\n";
  }
  const std::string number = std::to_string(receipt.sequence);
  return "recorded  entry " + number + "\nreceipt   " + number + ":" + receipt.hash + "\n" +
         (state ? state_text(*state) : "");
}

accounting::Plan plan_for(const PlanOptions& options, const ledger::Budget& budget) {
  PlanOptions given = options;
  // The shorthand says nothing of neighbours: they are the ledger's.
  if (!given.events && !given.adjacency) given.adjacency = budget.adjacency;
  return plan_of(given);
}

std::string words_of(const ledger::Labels& labels) {
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() || text.empty() ? "" : " ") + text; };
  add(labels.run);
  add(labels.layer);
  if (!labels.head.empty()) add("head " + labels.head);
  if (labels.steps) add("steps " + std::to_string(labels.steps->first) + ":" + std::to_string(labels.steps->last));
  return out;
}

Table entries_table(const std::vector<ledger::Entry>& entries) {
  Table out{.columns = {"entry", "time", "kind", "what", "labels"}, .rows = {}};
  for (const ledger::Entry& e : entries) {
    std::string what = e.kind == ledger::Kind::create ? "the budget" : summary(e.plan);
    if (e.reservation != 0) what += ", of reservation " + std::to_string(e.reservation);
    out.rows.push_back(
        {std::to_string(e.receipt.sequence), e.time, std::string(ledger::name_of(e.kind)), what, words_of(e.labels)});
  }
  return out;
}

/// For reading. Where it may be written to, what a killed writer left is taken back by the way.
Ledger opened(const std::string& file) {
  try {
    return Ledger(file);
  } catch (const ledger::LedgerError&) {
    return Ledger(file, Ledger::Access::read);
  }
}

std::string show(const LedgerOptions& options, Format format) {
  const Ledger ledger = opened(options.file);
  const ledger::State state = ledger.state();
  const auto entries = ledger.entries(std::max<std::int64_t>(1, state.entries - options.last + 1), options.last);
  if (format == Format::csv) return to_csv(entries_table(entries));
  if (format == Format::json) {
    std::string list;
    for (const ledger::Entry& e : entries) list += (list.empty() ? "" : ",") + to_json(e);
    const std::string whole = to_json(state);
    return whole.substr(0, whole.size() - 1) + ",\"last_entries\":[" + list + "]}\n";
  }
  std::string out =
      state_text(state) + "head      " + std::to_string(state.head.sequence) + ":" + state.head.hash + "\n";
  for (const ledger::Reservation& r : state.open)
    out += "reserved  " + std::to_string(r.sequence) + ": " + summary(r.remaining) + " " + words_of(r.labels) + "\n";
  return out + "\n" + to_text(entries_table(entries), {true, false, false, false, false});
}

std::string report(const LedgerOptions& options, Format format) {
  const ledger::Report report = opened(options.file).report(options.by);
  if (format == Format::json) return to_json(report) + "\n";
  if (format == Format::svg) return to_svg(report);
  Table out{.columns = {"run", "layer", "head", "releases", "alone", "without", "marginal"}, .rows = {}};
  for (const ledger::Share& s : report.shares) {
    const auto number = [&](double x) { return format == Format::csv ? shortest(x) : up(x); };
    out.rows.push_back(
        {s.run, s.layer, s.head, std::to_string(s.releases), number(s.alone), number(s.without), number(s.marginal)});
  }
  if (format == Format::csv) return to_csv(out);
  return state_text(report.state) + "\n" + to_text(out, {false, false, false, true, true, true, true}) +
         "\nalone: epsilon if nothing else had been released. without: of everything else. marginal: what leaving it "
         "out\n"
         "would save; these do not add up to the whole.\n";
}

Output verify(const LedgerOptions& options, Format format) {
  const ledger::Verification found = opened(options.file).verify(options.receipts);
  const int status = found.sound() ? 0 : kUnsound;
  if (format == Format::json) return {to_json(found) + "\n", status};
  std::string out;
  for (const std::string& fault : found.faults) out += "fault     " + fault + "\n";
  out += std::string(found.sound() ? "sound" : "NOT SOUND") + "     " + std::to_string(found.entries) +
         " entries, the last " + std::to_string(found.head.sequence) + ":" + found.head.hash + "\n";
  return {out, status};
}

}  // namespace

Output run_ledger(const Arguments& arguments) {
  const LedgerOptions& options = *arguments.ledger;
  const Format format = arguments.format;
  switch (options.action) {
    case Action::show:
      return {show(options, format)};
    case Action::report:
      return {report(options, format)};
    case Action::verify:
      return verify(options, format);
    case Action::create: {
      const Ledger made = Ledger::create(options.file, *options.budget);
      return {recorded(made, made.state().head, format)};
    }
    default:
      break;
  }
  Ledger ledger(options.file);
  const auto plan = [&] { return plan_for(arguments.plan, ledger.budget()); };
  Receipt receipt;
  if (options.action == Action::spend) receipt = ledger.spend(plan(), options.labels);
  if (options.action == Action::reserve) receipt = ledger.reserve(plan(), options.labels);
  if (options.action == Action::commit) receipt = ledger.commit(options.reservation, options.count);
  if (options.action == Action::abort) receipt = ledger.abort(options.reservation);
  return {recorded(ledger, receipt, format)};
}

}  // namespace dpflash::cli
