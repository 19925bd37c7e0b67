#include "record.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <nlohmann/json.hpp>

namespace dpflash::ledger {
namespace {

using accounting::UnusableInput;
using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestLabel = 256;
constexpr double kMostEpsilon = 1e6;

void check_label(const char* field, const std::string& text) {
  if (text.size() > kLongestLabel)
    throw UnusableInput(field, "a text of " + std::to_string(text.size()) + " bytes", "at most 256 bytes");
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      throw UnusableInput(field, "a text with a control character", "UTF-8 text without any");
  try {
    static_cast<void>(Json(text).dump());
  } catch (const Json::exception&) {
    throw UnusableInput(field, "a text that is not UTF-8", "UTF-8 text");
  }
}

Json parse(std::string_view text, const char* what) {
  Json out = Json::parse(text, nullptr, false);
  if (!out.is_object()) throw LedgerError(std::string("ledger: ") + what + " of an entry cannot be read");
  return out;
}

std::string member(const Json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end()) return {};
  if (!at->is_string()) throw LedgerError(std::string("ledger: labels.") + name + " of an entry cannot be read");
  return at->get<std::string>();
}

}  // namespace

std::string canonical(const Record& r) {
  // Netstrings: no two records give the same text, whatever bytes a damaged one holds.
  std::string out;
  for (const std::string& column :
       {std::to_string(r.sequence), r.kind, r.time, std::to_string(r.reservation), r.labels, r.plan})
    out += std::to_string(column.size()) + ":" + column + ",";
  return out;
}

std::string labels_to_json(const Labels& labels) {
  Json out = Json::object();
  if (!labels.run.empty()) out["run"] = labels.run;
  if (!labels.layer.empty()) out["layer"] = labels.layer;
  if (!labels.head.empty()) out["head"] = labels.head;
  if (labels.steps) out["steps"] = Json::array({labels.steps->first, labels.steps->last});
  return out.dump();
}

Labels labels_from_json(std::string_view json) {
  const Json object = parse(json, "labels");
  Labels out{.run = member(object, "run"), .layer = member(object, "layer"), .head = member(object, "head")};
  if (const auto at = object.find("steps"); at != object.end()) {
    if (!at->is_array() || at->size() != 2 || !(*at)[0].is_number_integer() || !(*at)[1].is_number_integer())
      throw LedgerError("ledger: labels.steps of an entry cannot be read");
    out.steps = Steps{(*at)[0].get<std::int64_t>(), (*at)[1].get<std::int64_t>()};
  }
  return out;
}

void check_labels(const Labels& labels) {
  check_label("labels.run", labels.run);
  check_label("labels.layer", labels.layer);
  check_label("labels.head", labels.head);
  if (!labels.steps) return;
  const auto& [first, last] = *labels.steps;
  if (first < 0 || last < first)
    throw UnusableInput("labels.steps", std::to_string(first) + " to " + std::to_string(last), "0 <= first <= last");
}

std::string budget_to_json(const Budget& budget, const std::string& name) {
  Json out;
  out["epsilon"] = budget.epsilon.value();
  out["delta"] = budget.delta.value();
  out["adjacency"] = accounting::name_of(budget.adjacency);
  out["ledger"] = name;
  return out.dump();
}

Budget budget_from_json(std::string_view json) {
  const Json object = parse(json, "the budget");
  try {
    return {accounting::Epsilon(object.at("epsilon").get<double>()),
            accounting::Delta(object.at("delta").get<double>()),
            accounting::parse_adjacency(object.at("adjacency").get<std::string>())};
  } catch (const Json::exception&) {
    throw LedgerError("ledger: the budget cannot be read");
  } catch (const UnusableInput& error) {
    throw LedgerError(std::string("ledger: the budget cannot be read: ") + error.what());
  }
}

void check_budget(const Budget& budget) {
  const double epsilon = budget.epsilon.value();
  if (!(epsilon >= 0 && epsilon <= kMostEpsilon))
    throw UnusableInput("budget.epsilon", Json(epsilon).dump(), "a number in [0, 1e6]");
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::create:
      return "create";
    case Kind::spend:
      return "spend";
    case Kind::reserve:
      return "reserve";
    case Kind::commit:
      return "commit";
    case Kind::abort:
      return "abort";
  }
  return "";
}

Kind parse_kind(std::string_view kind) {
  for (const Kind k : {Kind::create, Kind::spend, Kind::reserve, Kind::commit, Kind::abort})
    if (kind == name_of(k)) return k;
  throw LedgerError("ledger: an entry is of no known kind");
}

std::string utc_now() {
  using namespace std::chrono;
  const auto now = time_point_cast<milliseconds>(system_clock::now());
  const std::time_t seconds = system_clock::to_time_t(now);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  const auto part = static_cast<int>(((now.time_since_epoch().count() % 1000) + 1000) % 1000);
  std::snprintf(text + size, sizeof text - size, ".%03dZ", part);
  return text;
}

}  // namespace dpflash::ledger
