// libFuzzer: whatever the bytes, a plan is either refused in one line or valid, and what was read is written back
// exactly.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <string>
#include <string_view>

using namespace dpflash::accounting;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void require_one_line(const std::exception& error) {
  require(std::strchr(error.what(), '\n') == nullptr && std::strlen(error.what()) < 4096);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Plan plan = parse_plan(text);
    validate(plan);
    const std::string written = plan_to_json(plan);
    require(plan_to_json(parse_plan(written)) == written);
  } catch (const UnusableInput& error) {
    require_one_line(error);
  } catch (const NotComputable& error) {
    require_one_line(error);
  }
  try {
    const PlanTemplate hole = parse_plan_with_hole(text);
    require(hole.event < hole.plan.events.size());
  } catch (const UnusableInput& error) {
    require_one_line(error);
  } catch (const NotComputable& error) {
    require_one_line(error);
  }
  return 0;
}
