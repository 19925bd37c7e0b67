#include "plan/plan_document.hpp"

#include <cctype>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <set>
#include <vector>

namespace dpflash::accounting {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 16;
constexpr const char* kWanted = "one JSON document {\"adjacency\": ..., \"events\": [...]} in UTF-8";

/// Watches the parser: where it is, how deep, and which fields each open object has had.
class Watcher {
 public:
  void see(json::parse_event_t event, const json& parsed) {
    using Event = json::parse_event_t;
    switch (event) {
      case Event::object_start:
      case Event::array_start:
        count_element();
        if (open_.size() == kMaxDepth) throw UnusableInput(path(), "nesting more than 16 deep", kWanted);
        open_.push_back({.array = event == Event::array_start});
        break;
      case Event::object_end:
      case Event::array_end:
        open_.pop_back();
        break;
      case Event::key:
        open_.back().key = parsed.get_ref<const std::string&>();
        if (!open_.back().seen.insert(open_.back().key).second) {
          throw UnusableInput(path(), "a repeated field", "each field once");
        }
        break;
      case Event::value:
        count_element();
        break;
    }
  }

 private:
  struct Frame {
    bool array = false;
    std::size_t next = 0;
    std::string key = {};
    std::set<std::string> seen = {};
  };

  void count_element() {
    if (!open_.empty() && open_.back().array) ++open_.back().next;
  }

  [[nodiscard]] std::string path() const {
    std::string out;
    for (const Frame& frame : open_) {
      if (frame.array) {
        out += "[" + std::to_string(frame.next == 0 ? 0 : frame.next - 1) + "]";
      } else {
        out = member(out, frame.key);
      }
    }
    return out.empty() ? "plan" : out;
  }

  std::vector<Frame> open_;
};

}  // namespace

json parse_document(std::string_view text) {
  if (text.size() > kMaxPlanBytes) throw UnusableInput("plan", "a document of more than 16 MiB", "at most 16 MiB");
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) throw UnusableInput("plan", "empty text", kWanted);
  // The parser takes one for the end of the text, and would not look at what follows.
  if (text.find('\0') != std::string_view::npos) throw UnusableInput("plan", "text with a NUL byte", kWanted);
  Watcher watcher;
  try {
    return json::parse(text.begin(), text.end(), [&](int, json::parse_event_t event, json& parsed) {
      watcher.see(event, parsed);
      return true;
    });
  } catch (const json::parse_error& error) {
    throw UnusableInput("plan", "text that is not JSON (at byte " + std::to_string(error.byte) + ")", kWanted);
  } catch (const json::out_of_range&) {
    throw UnusableInput("plan", "a number beyond the range of a double", "numbers up to 1.79e308");
  }
}

std::string brief(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

std::string member(const std::string& path, const std::string& key) {
  bool plain = !key.empty() && key.size() <= 60;
  for (const char c : key) plain = plain && (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-');
  const std::string name = plain ? key : brief(json(key));
  return path.empty() ? name : path + "." + name;
}

}  // namespace dpflash::accounting
