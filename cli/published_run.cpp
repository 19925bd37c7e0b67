#include "published_run.hpp"

#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "plan_source.hpp"

namespace dpflash::cli {
namespace {

using accounting::UnusableInput;
using nlohmann::json;

/// One object of a run file; every message starts with the file's name.
class Fields {
 public:
  Fields(const json& object, std::string at) : object_(object), at_(std::move(at)) {
    if (!object.is_object()) throw UnusableInput(at_, "this value", "an object");
  }

  [[nodiscard]] bool has(const char* key) const { return object_.contains(key); }

  [[nodiscard]] const json& any(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) throw UnusableInput(path(key), "a missing field", "a value");
    return *found;
  }

  [[nodiscard]] std::string text(const char* key) const {
    const json& value = any(key);
    if (!value.is_string()) throw UnusableInput(path(key), "this value", "a string");
    return value.get<std::string>();
  }

  [[nodiscard]] double number(const char* key, double least) const {
    const json& value = any(key);
    if (!value.is_number() || !(value.get<double>() >= least)) {
      throw UnusableInput(path(key), "this value", "a number of at least " + std::to_string(least));
    }
    return value.get<double>();
  }

  [[nodiscard]] std::string path(const char* key) const { return at_ + ": " + key; }

 private:
  const json& object_;
  std::string at_;
};

}  // namespace

PublishedRun read_run(const std::string& file) {
  const json document = json::parse(read_text("path", file), nullptr, false);
  if (document.is_discarded()) throw UnusableInput(file, "text that is not JSON", "one run: see examples/runs");
  const Fields run(document, file);
  const Fields published(run.any("published"), run.path("published"));
  PublishedRun out{.name = run.text("name"), .source = run.text("source"), .epsilon = published.number("epsilon", 0)};
  out.accountant = published.has("accountant") ? published.text("accountant") : "";
  out.conversion = published.has("conversion") ? published.text("conversion") : "";
  out.digits_tolerance = published.has("digits_tolerance") ? published.number("digits_tolerance", 0) : 0;
  out.delta = run.number("delta", 0);
  if (!(out.delta > 0 && out.delta < 1)) throw UnusableInput(run.path("delta"), "this value", "a number in (0, 1)");
  out.note = run.has("note") ? run.text("note") : "";
  try {
    out.plan = accounting::parse_plan(run.any("plan").dump());
  } catch (const std::exception& error) {
    throw UnusableInput(run.path("plan"), "this plan", error.what());
  }
  return out;
}

std::vector<std::string> run_files(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  std::vector<std::string> out;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      out.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
      if (entry->path().extension() == ".json") found.push_back(entry->path().string());
    }
    if (error) throw UnusableInput("path", path + " (" + error.message() + ")", "a folder that can be read");
    if (found.empty())
      throw UnusableInput("path", path + ", a folder without *.json,", "run files, or folders of *.json");
    std::sort(found.begin(), found.end());
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

}  // namespace dpflash::cli
