// A program outside the project, using installed headers only.
#include <cstdio>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/plan_json.hpp>

int main() {
  using namespace dpflash::accounting;
  const Plan plan = parse_plan(R"({"events":[{"mechanism":{"type":"gaussian","noise_multiplier":1}}]})");
  const Bracket one = certified_epsilon(plan, Delta(1e-5)).bracket;
  const Bracket run = certified_epsilon(dpsgd_plan(1.1, 0.004, 1000), Delta(1e-5)).bracket;
  std::printf("%.9g %.9g\n", one.upper, run.upper);
  const bool right = one.lower <= 4.377178095681225 && one.upper >= 4.377178095681225;
  return right && run.lower <= run.upper && run.upper < 10 ? 0 : 1;
}
