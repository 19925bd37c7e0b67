#include <dpflash/dpflash.h>

#include <dpflash/attention/sensitivity.hpp>
#include <nlohmann/json.hpp>
#include <span>

#include "guard.hpp"
#include "structs.hpp"

namespace dpflash::c {
namespace {

using Json = nlohmann::ordered_json;

Json answer(attention::QuestionDocument document) {
  const attention::Sensitivity found(std::move(document.question));
  const std::span<const double> per_head = found.per_head();
  const attention::RecordPlace worst = found.worst();
  const attention::FinitePrecision& precision = found.question().precision;
  Json out{{"unit", attention::name_of(found.question().unit)},
           {"B_effective", found.score_bound()},
           {"worst_sequence", worst.sequence},
           {"worst_j", worst.position < 0 ? Json(nullptr) : Json(worst.position)},
           {"rows_moved", found.rows_moved()},
           {"delta_per_head", std::vector<double>(per_head.begin(), per_head.end())},
           {"delta_total", found.total()}};
  if (!document.sigma.empty()) out["mu"] = found.mu(document.sigma);
  if (precision.u_p > 0 || precision.eps_s > 0 || precision.eta_over_cv > 0) {
    out["finite_precision"] = {
        {"u_P", precision.u_p}, {"eps_s", precision.eps_s}, {"eta_over_Cv", precision.eta_over_cv}};
  }
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
