// sensitivity: what one record can do to an attention output, the noise for it, and the plan of its releases.
#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <dpflash/attention/allocation.hpp>

#include "commands.hpp"
#include "plan_source.hpp"
#include "print.hpp"

namespace dpflash::cli {
namespace {

using attention::Allocation;
using attention::NoiseTable;
using attention::Sensitivity;
using noise::Calibration;

/// The question, its answer, and the noise asked for.
struct Report {
  Sensitivity analysis;
  std::optional<double> mu = std::nullopt;  ///< of the document's sigma
  std::optional<Calibration> noise = std::nullopt;
  std::vector<NoiseTable> tables = {};  ///< as kAllocations
};

constexpr Allocation kAllocations[] = {Allocation::uniform, Allocation::per_head, Allocation::optimal};

/// Greatest noise multiplier that a plan can hold and whose mu is not below the one given.
double noise_of(double mu) {
  constexpr double kLeast = 1e-3;
  constexpr double kMost = 1e9;
  if (!(mu * kLeast <= 1))
    throw accounting::UnusableInput("sigma", "noise with mu = " + shortest(mu), "noise with mu up to 1000, for a plan");
  if (!(mu * kMost > 1)) return kMost;
  const double z = 1 / mu;
  return std::fma(z, mu, -1) > 0 ? std::nextafter(z, 0.0) : z;
}

/// Least noise multiplier whose mu is not above the one given.
double noise_for(double mu) {
  const double z = 1 / mu;
  return std::fma(z, mu, -1) < 0 ? std::nextafter(z, 2 * z) : z;
}

std::optional<Calibration> calibration(const SensitivityOptions& options) {
  const accounting::Delta delta(options.delta.value_or(1e-5));
  const noise::Releases releases{.count = options.layers};
  if (options.mu)
    return Calibration::gaussian_stated(accounting::NoiseMultiplier(noise_for(*options.mu)), delta, releases);
  if (options.epsilon) return Calibration::gaussian_for(accounting::Epsilon(*options.epsilon), delta, releases);
  return std::nullopt;
}

/// One Gaussian event a layer. Under this adjacency a pair of the accountant is N(0, z^2) and N(1, z^2), which is what
/// two neighbours' outputs are to each other.
std::string plan(const Report& report, const SensitivityOptions& options) {
  double noise = 0;
  if (report.noise) {
    noise = report.noise->noise_multiplier();
  } else if (report.mu) {
    noise = noise_of(*report.mu);
  } else {
    throw accounting::UnusableInput("--plan", "the option alone", "--mu, --target-epsilon or sigma in the document");
  }
  accounting::Plan out;
  for (std::int64_t layer = 0; layer < options.layers; ++layer)
    out.events.push_back({.mechanism = accounting::Gaussian{noise}, .label = "layer." + std::to_string(layer)});
  accounting::validate(out);
  return accounting::plan_to_json(out) + "\n";
}

template <class Items, class Write>
std::string array(const Items& items, const Write& write) {
  std::string out = "[";
  for (const auto& item : items) out += (out.size() == 1 ? "" : ",") + write(item);
  return out + "]";
}

std::string json_number(double value) { return std::isfinite(value) ? shortest(value) : "null"; }

std::string contributions_json(const Sensitivity& analysis) {
  const attention::Contributions parts = analysis.contributions();
  JsonObject out;
  out.number("score_clips", parts.score_clips);
  out.raw("head_share", array(parts.head_share, json_number));
  out.raw("by_visible", array(parts.by_visible, [](const attention::VisibleShare& bin) {
            JsonObject row;
            row.integer("least", bin.least).integer("most", bin.most).integer("rows", bin.rows);
            return row.number("share", bin.share).done();
          }));
  return out.done();
}

std::string table_json(const NoiseTable& table, std::string_view allocation) {
  const auto [least, most] = std::minmax_element(table.sigma().begin(), table.sigma().end());
  JsonObject out;
  out.text("allocation", allocation).number("mu", table.mu());
  if (table.per_row()) {
    out.number("sigma_least", *least).number("sigma_most", *most);
  } else {
    out.raw("sigma", array(table.sigma(), json_number));
  }
  return out.number("total_variance", table.total_variance()).number("saving", table.saving()).done();
}

std::string json(const Report& report, const SensitivityOptions& options) {
  const Sensitivity& analysis = report.analysis;
  const attention::FinitePrecision& precision = analysis.question().precision;
  const attention::RecordPlace worst = analysis.worst();
  JsonObject out;
  out.text("unit", name_of(analysis.question().unit)).number("B_effective", analysis.score_bound());
  out.integer("worst_sequence", worst.sequence);
  out.raw("worst_j", worst.position < 0 ? "null" : std::to_string(worst.position));
  out.integer("rows_moved", analysis.rows_moved());
  out.raw("delta_per_head", array(analysis.per_head(), json_number)).number("delta_total", analysis.total());
  if (report.mu) out.number("mu", *report.mu);
  if (precision.u_p > 0 || precision.eps_s > 0 || precision.eta_over_cv > 0) {
    JsonObject charges;
    charges.number("u_P", precision.u_p).number("eps_s", precision.eps_s);
    out.raw("finite_precision", charges.number("eta_over_Cv", precision.eta_over_cv).done());
  }
  out.raw("contributions", contributions_json(analysis));
  if (report.noise) {
    JsonObject noise;
    noise.number("noise_multiplier", report.noise->noise_multiplier()).integer("layers", options.layers);
    if (options.delta) noise.number("delta", *options.delta).bracket("epsilon", report.noise->epsilon());
    std::string tables = "[";
    for (std::size_t k = 0; k < report.tables.size(); ++k)
      tables += (k == 0 ? "" : ",") + table_json(report.tables[k], name_of(kAllocations[k]));
    out.raw("noise", noise.raw("allocations", tables + "]").done());
  }
  return out.done() + "\n";
}

std::string heading(const Sensitivity& analysis) {
  const auto up = [](double x) { return rounded(x, 9, Toward::up); };
  const attention::RecordPlace worst = analysis.worst();
  std::string out = "sensitivity of the output to one record (" + std::string(name_of(analysis.question().unit)) +
                    "), L2 over all rows and heads\n";
  out += "  delta         " + up(analysis.total()) + "\n";
  out += "  worst record  sequence " + std::to_string(worst.sequence);
  if (worst.position >= 0) out += ", position " + std::to_string(worst.position);
  out += "; it moves " + std::to_string(analysis.rows_moved()) + " rows\n";
  out += "  scores        at most " + up(analysis.score_bound()) + "\n";
  return out;
}

std::string parts_text(const Sensitivity& analysis) {
  const attention::Contributions parts = analysis.contributions();
  const auto near = [](double x) { return rounded(x, 4, Toward::nearest); };
  std::string out = "  1 % more of   C_v adds 1 %, C_q or C_k " + near(parts.score_clips) + " %\n\n";
  Table bins{.columns = {"keys seen", "rows", "share of delta^2"}, .rows = {}};
  for (const attention::VisibleShare& bin : parts.by_visible) {
    const std::string range = std::to_string(bin.least) + (bin.least == bin.most ? "" : "-" + std::to_string(bin.most));
    bins.rows.push_back({range, std::to_string(bin.rows), near(bin.share)});
  }
  return out + to_text(bins, {true, true, true});
}

std::string text(const Report& report, const SensitivityOptions& options) {
  const auto up = [](double x) { return rounded(x, 9, Toward::up); };
  std::string out = heading(report.analysis) + parts_text(report.analysis);
  if (report.mu) out += "\nmu of one release with the sigma given: " + up(*report.mu) + "\n";
  if (!report.noise) return out;
  Table table{.columns = {"noise", "mu", "sigma, least", "most", "variance a column", "saving"}, .rows = {}};
  for (std::size_t k = 0; k < report.tables.size(); ++k) {
    const NoiseTable& t = report.tables[k];
    const auto [least, most] = std::minmax_element(t.sigma().begin(), t.sigma().end());
    const auto near = [](double x) { return rounded(x, 6, Toward::nearest); };
    table.rows.push_back({std::string(name_of(kAllocations[k])), up(t.mu()), near(*least), near(*most),
                          near(t.total_variance()), near(t.saving())});
  }
  out += "\n" + to_text(table, {false, true, true, true, true, true});
  if (options.delta)
    out += "\nepsilon of " + std::to_string(options.layers) + " such releases at delta = " + shortest(*options.delta) +
           ": at most " + up(report.noise->epsilon().upper) + "\n";
  return out;
}

}  // namespace

std::string run_sensitivity(const Arguments& arguments) {
  SensitivityOptions options = arguments.sensitivity;
  const attention::QuestionDocument document = attention::parse_question(read_text("shape", options.shape));
  if (document.hetero_mu) {
    if (options.mu || options.epsilon)
      throw accounting::UnusableInput("hetero_mu", "a value beside --mu or --target-epsilon", "one of the three");
    options.mu = document.hetero_mu;
  }
  Report report{.analysis = Sensitivity(document.question)};
  if (!document.sigma.empty()) report.mu = report.analysis.mu(document.sigma);
  report.noise = calibration(options);
  if (options.plan) return plan(report, options);
  // From the last, which alone has a limit on the size: what it refuses is refused at once.
  if (report.noise)
    for (auto allocation = std::rbegin(kAllocations); allocation != std::rend(kAllocations); ++allocation)
      report.tables.emplace_back(report.analysis, *report.noise, *allocation);
  std::reverse(report.tables.begin(), report.tables.end());
  return arguments.format == Format::text ? text(report, options) : json(report, options);
}

}  // namespace dpflash::cli
