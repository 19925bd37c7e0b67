#include <dpflash/dpflash.h>

#include <dpflash/attention/sensitivity.hpp>
#include <nlohmann/json.hpp>
#include <span>

#include "guard.hpp"
#include "structs.hpp"

namespace dpflash::c {
namespace {

nlohmann::ordered_json answer(attention::QuestionDocument document) {
  const attention::Sensitivity found(std::move(document.question));
  const std::span<const double> per_head = found.per_head();
  nlohmann::ordered_json out{{"B_effective", found.score_bound()},
                             {"worst_sequence", found.worst().sequence},
                             {"worst_j", found.worst().position},
                             {"rows_moved", found.rows_moved()},
                             {"delta_per_head", std::vector<double>(per_head.begin(), per_head.end())},
                             {"delta_total", found.total()}};
  if (!document.sigma.empty()) out["mu"] = found.mu(document.sigma);
  return out;
}

}  // namespace
}  // namespace dpflash::c

using namespace dpflash::c;

int dpf_sensitivity_json(const char* shape, size_t shape_length, char* buffer, size_t capacity, size_t* size) {
  return guard([&] {
    const TextTarget target{buffer, capacity, size};
    target.check();
    target.write(answer(dpflash::attention::parse_question(read_text(shape, shape_length, "shape"))).dump());
  });
}
