#include "dpflash/ledger/text.hpp"

#include <charconv>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <nlohmann/json.hpp>

namespace dpflash::ledger {
namespace {

using accounting::UnusableInput;
using Json = nlohmann::ordered_json;

/// Infinity is null.
Json number(double x) { return std::isfinite(x) ? Json(x) : Json(); }

Json bracket(const accounting::Bracket& b) {
  Json out{{"lower", number(b.lower)}, {"estimate", number(b.estimate)}, {"upper", number(b.upper)}};
  if (!std::isfinite(b.upper)) out["unbounded"] = true;
  return out;
}

/// A damaged file may hold what is no UTF-8: said all the same.
std::string written(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json receipt_json(const Receipt& r) { return {{"sequence", r.sequence}, {"hash", r.hash}}; }

Json labels_json(const Labels& labels) {
  Json out = Json::object();
  if (!labels.run.empty()) out["run"] = labels.run;
  if (!labels.layer.empty()) out["layer"] = labels.layer;
  if (!labels.head.empty()) out["head"] = labels.head;
  if (labels.steps) out["steps"] = Json::array({labels.steps->first, labels.steps->last});
  return out;
}

Json budget_json(const Budget& b) {
  return {{"epsilon", b.epsilon.value()}, {"delta", b.delta.value()}, {"adjacency", accounting::name_of(b.adjacency)}};
}

Json plan_json(const accounting::Plan& plan) { return Json::parse(accounting::plan_to_json(plan)); }

Json state_json(const State& s) {
  Json open = Json::array();
  for (const Reservation& r : s.open)
    open.push_back(
        {{"reservation", r.sequence}, {"labels", labels_json(r.labels)}, {"remaining", plan_json(r.remaining)}});
  return {{"budget", budget_json(s.budget)}, {"spent", bracket(s.spent)}, {"claimed", bracket(s.claimed)},
          {"open_reservations", open},       {"entries", s.entries},      {"head", receipt_json(s.head)}};
}

}  // namespace

std::string to_json(const Receipt& receipt) { return written(receipt_json(receipt)); }
std::string to_json(const State& state) { return written(state_json(state)); }

std::string to_json(const Entry& entry) {
  Json out = receipt_json(entry.receipt);
  out["kind"] = name_of(entry.kind);
  out["time"] = entry.time;
  out["labels"] = labels_json(entry.labels);
  if (entry.kind != Kind::create) out["plan"] = plan_json(entry.plan);
  if (entry.reservation != 0) out["reservation"] = entry.reservation;
  return written(out);
}

std::string to_json(const Report& report) {
  Json shares = Json::array();
  for (const Share& s : report.shares) {
    Json row = Json::object();
    if (report.grouping == Grouping::run || report.grouping == Grouping::all) row["run"] = s.run;
    if (report.grouping != Grouping::run) row["layer"] = s.layer;
    if (report.grouping == Grouping::head || report.grouping == Grouping::all) row["head"] = s.head;
    row["releases"] = s.releases;
    row["alone"] = number(s.alone);
    row["without"] = number(s.without);
    row["marginal"] = number(s.marginal);
    shares.push_back(row);
  }
  Json out = state_json(report.state);
  out["by"] = name_of(report.grouping);
  out["shares"] = shares;
  return written(out);
}

std::string to_json(const Verification& v) {
  return written({{"sound", v.sound()}, {"entries", v.entries}, {"head", receipt_json(v.head)}, {"faults", v.faults}});
}

std::string_view name_of(Grouping grouping) {
  switch (grouping) {
    case Grouping::run:
      return "run";
    case Grouping::layer:
      return "layer";
    case Grouping::head:
      return "head";
    case Grouping::all:
      break;
  }
  return "all";
}

Grouping parse_grouping(std::string_view name, const std::string& field) {
  for (const Grouping g : {Grouping::run, Grouping::layer, Grouping::head, Grouping::all})
    if (name == name_of(g)) return g;
  throw UnusableInput(field, "'" + std::string(name.substr(0, 60)) + "'", "one of: run, layer, head, all");
}

Receipt parse_receipt(std::string_view text, const std::string& field) {
  const std::size_t colon = text.find(':');
  Receipt out;
  const char* const end = text.data() + std::min(colon, text.size());
  const auto [stop, error] = std::from_chars(text.data(), end, out.sequence);
  const std::string_view hash = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const bool digits = hash.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (error != std::errc() || stop != end || out.sequence < 1 || hash.size() != 64 || !digits)
    throw UnusableInput(field, "'" + std::string(text.substr(0, 80)) + "'",
                        "SEQUENCE:HASH, with a number and 64 hexadecimal digits");
  out.hash = hash;
  return out;
}

}  // namespace dpflash::ledger
