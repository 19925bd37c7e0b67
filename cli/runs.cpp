// runs: published runs recomputed, and whether each published epsilon holds.
#include <cmath>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/renyi.hpp>

#include "commands.hpp"
#include "print.hpp"
#include "published_run.hpp"

namespace dpflash::cli {
namespace {

using accounting::Bracket;

/// One row: the run, our bracket, and the accountant of ours whose value the published one is.
struct Recomputed {
  PublishedRun run;
  Bracket bracket;
  /// "pld", "rdp", "rdp-classic", or empty when none gives the published value.
  std::string matched;
  /// Our value nearest in kind to the published one: what the difference is measured against.
  double ours = 0;
  /// Why there is no bracket; else empty.
  std::string refused;
};

/// True when `published`, give or take the rounding of its last digit, lies in [lower, upper].
bool touches(const PublishedRun& run, double lower, double upper) {
  // Decimal tolerances such as 0.005 and differences such as 2.02 - 2.015 are not exact: one part in 1e12 of slack.
  const double reach = run.digits_tolerance + 1e-12 * run.epsilon;
  return run.epsilon + reach >= lower && run.epsilon - reach <= upper;
}

Recomputed recompute(PublishedRun run) {
  Recomputed out{.run = std::move(run), .bracket = {}, .matched = {}, .ours = 0, .refused = {}};
  const accounting::Delta delta(out.run.delta);
  try {
    out.bracket = accounting::certified_epsilon(out.run.plan, delta).bracket;
    out.ours = out.bracket.estimate;
    if (touches(out.run, out.bracket.lower, out.bracket.upper)) {
      out.matched = "pld";
    } else if (out.run.accountant == "rdp") {
      using accounting::RenyiConversion;
      const double improved = accounting::rdp_epsilon(out.run.plan, delta).bracket.upper;
      const double classic = accounting::rdp_epsilon(out.run.plan, delta, RenyiConversion::classic).bracket.upper;
      if (touches(out.run, improved, improved)) out.matched = "rdp";
      if (out.matched.empty() && touches(out.run, classic, classic)) out.matched = "rdp-classic";
      const bool nearer_classic = std::fabs(out.run.epsilon - classic) < std::fabs(out.run.epsilon - improved);
      out.ours = nearer_classic ? classic : improved;
    }
  } catch (const accounting::NotComputable& error) {
    out.refused = error.what();
  }
  return out;
}

std::string verdict(const Recomputed& row) {
  if (!row.refused.empty()) return "cannot be computed: " + row.refused;
  if (!row.matched.empty()) return "reproduces";
  return row.run.note.empty() ? "does not reproduce" : "does not reproduce: " + row.run.note;
}

double relative_difference(const Recomputed& row) {
  return row.run.epsilon == row.ours ? 0 : (row.run.epsilon - row.ours) / row.ours;
}

std::string json(const std::vector<Recomputed>& rows) {
  std::string list = "[";
  for (const Recomputed& row : rows) {
    JsonObject published;
    published.number("epsilon", row.run.epsilon).text("accountant", row.run.accountant);
    published.number("digits_tolerance", row.run.digits_tolerance);
    JsonObject out;
    out.text("name", row.run.name).text("source", row.run.source).raw("published", published.done());
    out.number("delta", row.run.delta);
    if (row.refused.empty()) {
      out.bracket("epsilon", row.bracket).number("relative_difference", relative_difference(row));
    }
    out.raw("reproduces", row.matched.empty() ? "false" : "true");
    if (!row.matched.empty()) out.text("matched", row.matched);
    out.text("verdict", verdict(row));
    list += (list.size() == 1 ? "" : ",") + out.done();
  }
  return JsonObject().raw("runs", list + "]").done() + "\n";
}

Table table(const std::vector<Recomputed>& rows, bool people) {
  Table out{.columns = {"name", "delta", "published", "at least", "at most", "difference", "matched", "verdict"},
            .rows = {}};
  if (!people) {
    out.columns = {"name",    "delta",  "published_epsilon", "epsilon_lower", "epsilon_upper", "relative_difference",
                   "matched", "verdict"};
  }
  for (const Recomputed& row : rows) {
    const double gap = relative_difference(row);
    std::vector<std::string> cells = {row.run.name, shortest(row.run.delta), shortest(row.run.epsilon)};
    if (!row.refused.empty()) {
      cells.insert(cells.end(), 3, people ? "-" : "");
    } else if (people) {
      cells.push_back(rounded(row.bracket.lower, 7, Toward::down));
      cells.push_back(rounded(row.bracket.upper, 7, Toward::up));
      cells.push_back((gap > 0 ? "+" : "") + rounded(100 * gap, 2, Toward::nearest) + "%");
    } else {
      cells.insert(cells.end(), {shortest(row.bracket.lower), shortest(row.bracket.upper), shortest(gap)});
    }
    cells.push_back(row.matched.empty() && people ? "-" : row.matched);
    cells.push_back(verdict(row));
    out.rows.push_back(std::move(cells));
  }
  return out;
}

}  // namespace

std::string run_published(const Arguments& arguments) {
  std::vector<PublishedRun> runs;
  for (const std::string& file : run_files(arguments.paths)) runs.push_back(read_run(file));
  std::vector<Recomputed> rows;
  for (PublishedRun& run : runs) rows.push_back(recompute(std::move(run)));
  switch (arguments.format) {
    case Format::json:
      return json(rows);
    case Format::csv:
      return to_csv(table(rows, false));
    case Format::text:
      break;
  }
  return to_text(table(rows, true), {false, true, true, true, true, true, false, false}) +
         "\nEpsilon at delta. Between \"at least\" and \"at most\" lies the true epsilon, certified; \"matched\" is "
         "the\n"
         "accountant of ours that gives the published value to its printed digits, \"difference\" how far it is off.\n";
}

}  // namespace dpflash::cli
