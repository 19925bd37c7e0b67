// A sensitivity question from JSON: strict, and numbers may be decimal strings.
#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "analysis/words.hpp"
#include "dpflash/attention/sensitivity.hpp"

namespace dpflash::attention {
namespace {

using accounting::UnusableInput;
using nlohmann::json;

constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr const char* kDocument = "one JSON object with unit, lengths, causal, H, D, C_q, C_k, C_v";
constexpr const char* kFields[] = {
    "unit",  "block_m", "lengths", "causal", "window", "softcap",          "H",  "H_kv", "D",
    "scale", "C_q",     "C_k",     "C_v",    "sigma",  "finite_precision", "id", "desc", "hetero_mu"};

std::string brief(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  if (value.is_string()) return analysis::quoted(value.get_ref<const std::string&>());
  return value.dump();
}

json parse(std::string_view text) {
  if (text.size() > kMaxBytes) throw UnusableInput("shape", "a document of more than 16 MiB", "at most 16 MiB");
  // The parser takes one for the end of the text, and would not look at what follows.
  if (text.find('\0') != std::string_view::npos) throw UnusableInput("shape", "text with a NUL byte", kDocument);
  std::vector<std::set<std::string>> seen;
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (seen.size() == 8) throw UnusableInput("shape", "nesting more than 8 deep", kDocument);
      seen.emplace_back();
    } else if (event == json::parse_event_t::object_end || event == json::parse_event_t::array_end) {
      seen.pop_back();
    } else if (event == json::parse_event_t::key && !seen.back().insert(parsed.get<std::string>()).second) {
      throw UnusableInput(analysis::quoted(parsed.get<std::string>()), "a repeated field", "each field once");
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::parse_error& error) {
    throw UnusableInput("shape", "text that is not JSON (at byte " + std::to_string(error.byte) + ")", kDocument);
  } catch (const json::out_of_range&) {
    throw UnusableInput("shape", "a number beyond the range of a double", "numbers up to 1.79e308");
  }
}

double number(const std::string& field, const json& value, const char* allowed = "a finite number") {
  double out = std::nan("");
  if (value.is_number()) out = value.get<double>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, out);
    if (error != std::errc() || stop != end) out = std::nan("");
  }
  if (!std::isfinite(out)) throw UnusableInput(field, brief(value), allowed);
  return out;
}

std::int64_t integer(const std::string& field, const json& value) {
  constexpr const char* kAllowed = "an integer of modulus up to 2^53";
  const double out = number(field, value, kAllowed);
  if (out != std::floor(out) || std::abs(out) > 0x1p53) throw UnusableInput(field, brief(value), kAllowed);
  return static_cast<std::int64_t>(out);
}

std::int32_t small_integer(const std::string& field, const json& value) {
  const std::int64_t out = integer(field, value);
  if (out < 1 || out > 65536) throw UnusableInput(field, brief(value), "an integer in [1, 65536]");
  return static_cast<std::int32_t>(out);
}

std::vector<double> numbers(const std::string& field, const json& value) {
  if (!value.is_array()) return {number(field, value, "a number or an array of numbers")};
  if (value.empty()) throw UnusableInput(field, "an empty array", "a number or an array of numbers");
  std::vector<double> out;
  for (const json& item : value) out.push_back(number(field + "[" + std::to_string(out.size()) + "]", item));
  return out;
}

std::pair<std::int64_t, std::int64_t> pair(const std::string& field, const json& value, const char* allowed) {
  if (!value.is_array() || value.size() != 2) throw UnusableInput(field, brief(value), allowed);
  return {integer(field + "[0]", value[0]), integer(field + "[1]", value[1])};
}

const json& required(const json& document, const char* field, const char* allowed) {
  const auto found = document.find(field);
  if (found == document.end()) throw UnusableInput(field, "a missing field", allowed);
  return *found;
}

void refuse_unknown(const json& document) {
  for (const auto& item : document.items())
    if (std::find(std::begin(kFields), std::end(kFields), item.key()) == std::end(kFields)) {
      std::string names;
      for (const char* const field : kFields) names += (names.empty() ? "" : ", ") + std::string(field);
      throw UnusableInput(analysis::quoted(item.key()), "an unknown field", "fields: " + names);
    }
}

Shape shape(const json& document) {
  Shape out;
  const json& lengths = required(document, "lengths", "an array of pairs [queries, keys]");
  if (!lengths.is_array()) throw UnusableInput("lengths", brief(lengths), "an array of pairs [queries, keys]");
  for (const json& item : lengths) {
    const auto [queries, keys] =
        pair("lengths[" + std::to_string(out.lengths.size()) + "]", item, "a pair [queries, keys]");
    out.lengths.push_back({queries, keys});
  }
  out.heads = small_integer("H", required(document, "H", "the number of query heads"));
  out.kv_heads = document.contains("H_kv") ? small_integer("H_kv", document["H_kv"]) : out.heads;
  out.head_dim = small_integer("D", required(document, "D", "the dimension of a head"));
  const json& causal = required(document, "causal", "true or false");
  if (!causal.is_boolean()) throw UnusableInput("causal", brief(causal), "true or false");
  out.causal = causal.get<bool>();
  if (document.contains("window")) {
    const auto [left, right] = pair("window", document["window"], "a pair [left, right], -1: no limit");
    out.window = {left, right};
  }
  if (document.contains("scale")) out.scale = number("scale", document["scale"]);
  if (document.contains("softcap") && !document["softcap"].is_null())
    out.softcap = number("softcap", document["softcap"]);
  return out;
}

void read_precision(const json& value, SensitivityQuestion& question) {
  constexpr const char* kAllowed = R"("bf16", "fp16" or {u_P, eps_s, eta_over_Cv})";
  if (value == "bf16" || value == "fp16") {
    question.precision = kernel_precision(value == "bf16" ? KernelElement::bf16 : KernelElement::fp16, question);
    return;
  }
  if (!value.is_object()) throw UnusableInput("finite_precision", brief(value), kAllowed);
  const auto field = [&](const char* name) {
    const std::string path = std::string("finite_precision.") + name;
    if (!value.contains(name)) throw UnusableInput(path, "a missing field", kAllowed);
    return number(path, value[name]);
  };
  question.precision = {field("u_P"), field("eps_s"), field("eta_over_Cv")};
  if (value.size() != 3) throw UnusableInput("finite_precision", "an object with other fields", kAllowed);
}

}  // namespace

QuestionDocument parse_question(std::string_view text) {
  const json document = parse(text);
  if (!document.is_object()) throw UnusableInput("shape", brief(document), kDocument);
  refuse_unknown(document);
  QuestionDocument out;
  const json& unit = required(document, "unit", "token, zero-out, self-token, sequence or token-add-remove");
  if (!unit.is_string()) throw UnusableInput("unit", brief(unit), "a string");
  out.question.unit = parse_unit(unit.get<std::string>());
  out.question.shape = shape(document);
  for (const auto& [field, clips] : {std::pair{"C_q", &out.question.clips.q}, std::pair{"C_k", &out.question.clips.k},
                                     std::pair{"C_v", &out.question.clips.v}})
    *clips = numbers(field, required(document, field, "a number, or one a kv head"));
  if (document.contains("block_m")) out.question.block = integer("block_m", document["block_m"]);
  if (document.contains("finite_precision")) read_precision(document["finite_precision"], out.question);
  if (document.contains("sigma")) {
    out.sigma = numbers("sigma", document["sigma"]);
    if (out.sigma.size() == 1) out.sigma.assign(static_cast<std::size_t>(out.question.shape.heads), out.sigma[0]);
  }
  if (document.contains("hetero_mu")) {
    constexpr const char* kAllowed = "a number in [1e-8, 1000]";
    const double mu = number("hetero_mu", document["hetero_mu"], kAllowed);
    if (!(mu >= 1e-8 && mu <= 1000)) throw UnusableInput("hetero_mu", brief(document["hetero_mu"]), kAllowed);
    out.hetero_mu = mu;
  }
  return out;
}

}  // namespace dpflash::attention
