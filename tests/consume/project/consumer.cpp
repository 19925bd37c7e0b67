// A program outside the project, using installed headers only.
#include <cstdio>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <dpflash/ledger/ledger.hpp>
#include <dpflash/noise/calibration.hpp>
#include <dpflash/noise/isotropic.hpp>
#include <vector>

int main() {
  using namespace dpflash::accounting;
  const Plan plan = parse_plan(R"({"events":[{"mechanism":{"type":"gaussian","noise_multiplier":1}}]})");
  const Bracket one = certified_epsilon(plan, Delta(1e-5)).bracket;
  const Bracket run = certified_epsilon(dpsgd_plan(1.1, 0.004, 1000), Delta(1e-5)).bracket;
  std::printf("%.9g %.9g\n", one.upper, run.upper);
  using namespace dpflash::noise;
  const Isotropic mechanism(1000, 1.0, Calibration::gaussian_for(Epsilon(1), Delta(1e-5)));
  std::vector<float> sum(1000);
  auto source = NoiseSource::from_entropy();
  mechanism.privatise(sum, source, {});
  std::remove("consumer.db");
  const auto receipt = dpflash::ledger::Ledger::create("consumer.db", {Epsilon(5), Delta(1e-5)}).spend(plan);
  std::remove("consumer.db");
  if (receipt.sequence != 2) return 1;
  const bool right = one.lower <= 4.377178095681225 && one.upper >= 4.377178095681225;
  return right && run.lower <= run.upper && run.upper < 10 ? 0 : 1;
}
