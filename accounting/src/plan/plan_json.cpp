#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <initializer_list>
#include <optional>

#include "plan/number.hpp"
#include "plan/plan_document.hpp"

namespace dpflash::accounting {
namespace {

using nlohmann::json;
using Names = std::initializer_list<std::string_view>;

const Names kMechanisms = {"gaussian", "laplace", "epsilon_delta"};
const Names kLaterMechanisms = {"discrete_gaussian", "discrete_laplace", "randomized_response",  "zcdp",
                                "exponential",       "permute_and_flip", "mixture_of_gaussians", "custom"};
const Names kSamplings = {"poisson"};
const Names kLaterSamplings = {"truncated_poisson", "without_replacement", "with_replacement", "random_allocation"};

bool holds(Names names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

std::string listed(Names names) {
  std::string out;
  for (const std::string_view name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

/// Reads one document; with `allow_hole`, remembers the one field that is null.
class Reader {
 public:
  explicit Reader(bool allow_hole) : allow_hole_(allow_hole) {}

  PlanTemplate read(const json& document) {
    require_object(document, "plan");
    refuse_unknown(document, "", {"adjacency", "events"});
    if (document.contains("adjacency")) out_.plan.adjacency = parse_adjacency(text(document, "", "adjacency"));
    const json& events = required(document, "", "events", "an array of events");
    if (!events.is_array()) throw UnusableInput("events", brief(events), "an array of events");
    for (event_ = 0; event_ < events.size(); ++event_) {
      out_.plan.events.push_back(event(events[event_], "events[" + std::to_string(event_) + "]"));
    }
    if (allow_hole_ && !found_) throw UnusableInput("plan", "a plan without a null", kHole);
    validate(out_.plan);
    return std::move(out_);
  }

 private:
  static constexpr const char* kHole =
      "exactly one null among noise_multiplier, count and rate: the field to solve for";

  static void require_object(const json& value, const std::string& at) {
    if (!value.is_object()) throw UnusableInput(at, brief(value), "an object");
  }

  static void refuse_unknown(const json& object, const std::string& at, Names allowed) {
    for (const auto& item : object.items()) {
      if (!holds(allowed, item.key())) {
        throw UnusableInput(member(at, item.key()), "an unknown field", "fields: " + listed(allowed));
      }
    }
  }

  static const json& required(const json& object, const std::string& at, const char* key, const std::string& allowed) {
    const auto found = object.find(key);
    if (found == object.end()) throw UnusableInput(member(at, key), "a missing field", allowed);
    return *found;
  }

  static std::string text(const json& object, const std::string& at, const char* key,
                          const std::string& allowed = "a string") {
    const json& value = required(object, at, key, allowed);
    if (!value.is_string()) throw UnusableInput(member(at, key), brief(value), allowed);
    return value.get<std::string>();
  }

  static double number(const json& object, const std::string& at, const char* key, const Range& range) {
    const json& value = required(object, at, key, range.words);
    if (!value.is_number() || !range.contains(value.get<double>())) {
      throw UnusableInput(member(at, key), brief(value), range.words);
    }
    return value.get<double>();
  }

  /// True when the field is the null to solve for.
  bool hole(const json& object, const std::string& at, const char* key, Unknown unknown) {
    const auto found = object.find(key);
    if (!allow_hole_ || found == object.end() || !found->is_null()) return false;
    if (found_) throw UnusableInput(member(at, key), "a second null", kHole);
    found_ = true;
    out_.event = event_;
    out_.unknown = unknown;
    return true;
  }

  double noise_multiplier(const json& object, const std::string& at) {
    if (hole(object, at, "noise_multiplier", Unknown::noise_multiplier)) return 1;
    return number(object, at, "noise_multiplier", kNoiseMultiplier);
  }

  std::int64_t count(const json& object, const std::string& at) {
    if (!object.contains("count") || hole(object, at, "count", Unknown::steps)) return 1;
    const double value = number(object, at, "count", kCount);
    if (value != std::floor(value)) throw UnusableInput(at + ".count", brief(object["count"]), kCount.words);
    return static_cast<std::int64_t>(value);
  }

  /// The "type" of an object, checked against what this version has and what the format names.
  static std::string type(const json& object, const std::string& at, Names available, Names later) {
    std::string name = text(object, at, "type", "one of: " + listed(available));
    if (holds(later, name)) {
      throw NotComputable(at + ".type: " + name + " is not available in this version; available: " + listed(available));
    }
    if (!holds(available, name)) throw UnusableInput(at + ".type", brief(json(name)), "one of: " + listed(available));
    return name;
  }

  Mechanism mechanism(const json& object, const std::string& at) {
    require_object(object, at);
    const std::string name = type(object, at, kMechanisms, kLaterMechanisms);
    if (name == "epsilon_delta") {
      refuse_unknown(object, at, {"type", "epsilon", "delta"});
      const double delta = object.contains("delta") ? number(object, at, "delta", kDelta) : 0;
      return EpsilonDelta{number(object, at, "epsilon", kEpsilon), delta};
    }
    refuse_unknown(object, at, {"type", "noise_multiplier"});
    const double scale = noise_multiplier(object, at);
    if (name == "laplace") return Laplace{scale};
    return Gaussian{scale};
  }

  Sampling sampling(const json& object, const std::string& at) {
    require_object(object, at);
    (void)type(object, at, kSamplings, kLaterSamplings);
    refuse_unknown(object, at, {"type", "rate"});
    if (hole(object, at, "rate", Unknown::sampling_rate)) return PoissonSampling{1};
    return PoissonSampling{number(object, at, "rate", kRate)};
  }

  Event event(const json& object, const std::string& at) {
    require_object(object, at);
    refuse_unknown(object, at, {"label", "mechanism", "sampling", "count"});
    Event out{.mechanism = mechanism(required(object, at, "mechanism", "an object"), at + ".mechanism")};
    if (object.contains("sampling")) out.sampling = sampling(object["sampling"], at + ".sampling");
    out.count = count(object, at);
    if (object.contains("label")) out.label = text(object, at, "label");
    return out;
  }

  bool allow_hole_;
  bool found_ = false;
  std::size_t event_ = 0;
  PlanTemplate out_;
};

struct MechanismText {
  std::string operator()(const Gaussian& g) const {
    return R"({"type":"gaussian","noise_multiplier":)" + shortest(g.noise_multiplier) + "}";
  }
  std::string operator()(const Laplace& l) const {
    return R"({"type":"laplace","noise_multiplier":)" + shortest(l.noise_multiplier) + "}";
  }
  std::string operator()(const EpsilonDelta& e) const {
    return R"({"type":"epsilon_delta","epsilon":)" + shortest(e.epsilon) + R"(,"delta":)" + shortest(e.delta) + "}";
  }
};

}  // namespace

Adjacency parse_adjacency(std::string_view name, const std::string& field) {
  std::string names;
  for (const Adjacency adjacency : {Adjacency::add_or_remove_one, Adjacency::replace_one, Adjacency::replace_special,
                                    Adjacency::add_one, Adjacency::remove_one}) {
    if (name == name_of(adjacency)) return adjacency;
    names += (names.empty() ? "" : ", ") + std::string(name_of(adjacency));
  }
  throw UnusableInput(field, brief(json(name)), "one of: " + names);
}

Plan parse_plan(std::string_view json) { return Reader(false).read(parse_document(json)).plan; }

PlanTemplate parse_plan_with_hole(std::string_view json) { return Reader(true).read(parse_document(json)); }

std::string plan_to_json(const Plan& plan) {
  std::string out = R"({"adjacency":")" + std::string(name_of(plan.adjacency)) + R"(","events":[)";
  for (const Event& event : plan.events) {
    if (out.back() != '[') out += ',';
    out += '{';
    if (!event.label.empty()) {
      out += R"("label":)" + json(event.label).dump(-1, ' ', false, json::error_handler_t::replace) + ",";
    }
    out += R"("mechanism":)" + std::visit(MechanismText{}, event.mechanism);
    if (const auto* poisson = std::get_if<PoissonSampling>(&event.sampling)) {
      out += R"(,"sampling":{"type":"poisson","rate":)" + shortest(poisson->rate) + "}";
    }
    out += R"(,"count":)" + std::to_string(event.count) + "}";
  }
  return out + "]}";
}

}  // namespace dpflash::accounting
