// runs: published runs recomputed, and whether each published epsilon holds.
#include <algorithm>
#include <cmath>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/renyi.hpp>
#include <limits>

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
  /// "pld", "rdp", "rdp-classic" (these two also with ", usual orders"), or empty when none gives the published value.
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

using accounting::RenyiConversion;

/// The least epsilon over the orders that Opacus and TensorFlow Privacy try: 1.1, 1.2 ... 10.9 and 12, 13 ... 63. Never
/// below ours, which is over all real orders.
double on_usual_orders(const PublishedRun& run, RenyiConversion conversion) {
  double least = std::numeric_limits<double>::infinity();
  const auto at = [&](double order) {
    const double divergence = accounting::renyi_divergence(run.plan, order);
    const double classic = divergence - std::log(run.delta) / (order - 1);
    const double gain = std::log1p(-1 / order) - std::log(order) / (order - 1);
    least = std::min(least, conversion == RenyiConversion::classic ? classic : classic + gain);
  };
  for (int tenths = 11; tenths < 110; ++tenths) at(tenths / 10.0);
  for (int order = 12; order < 64; ++order) at(order);
  return least;
}

/// The Renyi value nearest to the published one, under the conversion that the source names where it names one.
void match_renyi(Recomputed& out) {
  const accounting::Delta delta(out.run.delta);
  const bool improved_only = out.run.conversion.rfind("improved", 0) == 0;
  const bool classic_only = out.run.conversion.rfind("classic", 0) == 0;
  double gap = std::numeric_limits<double>::infinity();
  const auto consider = [&](double value, const char* name) {
    if (!(std::fabs(out.run.epsilon - value) < gap)) return;
    gap = std::fabs(out.run.epsilon - value);
    out.ours = value;
    out.matched = touches(out.run, value, value) ? name : "";
  };
  const auto best = [&](RenyiConversion conversion) {
    return accounting::rdp_epsilon(out.run.plan, delta, conversion).bracket.upper;
  };
  if (!classic_only) consider(best(RenyiConversion::improved), "rdp");
  if (!improved_only) consider(best(RenyiConversion::classic), "rdp-classic");
  if (!out.matched.empty()) return;
  if (!classic_only) consider(on_usual_orders(out.run, RenyiConversion::improved), "rdp, usual orders");
  if (!improved_only) consider(on_usual_orders(out.run, RenyiConversion::classic), "rdp-classic, usual orders");
}

Recomputed recompute(PublishedRun run) {
  Recomputed out{.run = std::move(run), .bracket = {}, .matched = {}, .ours = 0, .refused = {}};
  try {
    out.bracket = accounting::certified_epsilon(out.run.plan, accounting::Delta(out.run.delta)).bracket;
    out.ours = out.bracket.estimate;
    // The source's own accountant first: a value printed without decimals may touch both.
    if (out.run.accountant == "rdp") match_renyi(out);
    if (out.matched.empty() && touches(out.run, out.bracket.lower, out.bracket.upper)) {
      out.matched = "pld";
      out.ours = out.bracket.estimate;
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

Table csv_table(const std::vector<Recomputed>& rows) {
  Table out{.columns = {"name", "delta", "published_epsilon", "epsilon_lower", "epsilon_upper", "relative_difference",
                        "matched", "verdict"},
            .rows = {}};
  for (const Recomputed& row : rows) {
    const bool known = row.refused.empty();
    out.rows.push_back({row.run.name, shortest(row.run.delta), shortest(row.run.epsilon),
                        known ? shortest(row.bracket.lower) : "", known ? shortest(row.bracket.upper) : "",
                        known ? shortest(relative_difference(row)) : "", row.matched, verdict(row)});
  }
  return out;
}

std::string text(const std::vector<Recomputed>& rows) {
  Table out{.columns = {"name", "delta", "published", "at least", "at most", "matched", "difference", "verdict"},
            .rows = {}};
  // Notes are sentences: they go below the table.
  std::string notes;
  std::size_t note_count = 0;
  for (const Recomputed& row : rows) {
    const bool known = row.refused.empty();
    const double gap = relative_difference(row);
    std::string short_verdict = verdict(row);
    const std::string& why = known ? row.run.note : row.refused;
    if (row.matched.empty() && !why.empty()) {
      const std::string mark = "note " + std::to_string(++note_count);
      short_verdict = (known ? "does not reproduce: " : "cannot be computed: ") + mark;
      notes += "\n" + mark + ": " + why + "\n";
    }
    out.rows.push_back(
        {row.run.name, shortest(row.run.delta), shortest(row.run.epsilon),
         known ? rounded(row.bracket.lower, 7, Toward::down) : "-",
         known ? rounded(row.bracket.upper, 7, Toward::up) : "-", row.matched.empty() ? "-" : row.matched,
         known ? (gap > 0 ? "+" : "") + rounded(100 * gap, 3, Toward::nearest) + "%" : "-", short_verdict});
  }
  return to_text(out, {false, true, true, true, true, false, true, false}) +
         "\nBetween \"at least\" and \"at most\" lies the true epsilon at this delta, certified. \"matched\" is the "
         "accountant\n"
         "of ours whose value is the published one to its printed digits; \"difference\" is the published value's "
         "distance\n"
         "from that accountant's value, or, without a match, from the value of the accountant that the source used.\n"
         "\"usual orders\": at the Renyi orders that Opacus and TensorFlow Privacy try, instead of the best real "
         "one.\n" +
         notes;
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
      return to_csv(csv_table(rows));
    case Format::text:
    case Format::svg:  // arguments refuse it here
      break;
  }
  return text(rows);
}

}  // namespace dpflash::cli
