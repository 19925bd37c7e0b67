#include <chrono>
#include <dpflash/accounting/basic.hpp>
#include <dpflash/accounting/compare.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/renyi.hpp>
#include <utility>

namespace dpflash::accounting {
namespace {

template <class Work>
AccountantResult timed(const char* name, const Work& work) {
  AccountantResult result;
  result.accountant = name;
  const auto start = std::chrono::steady_clock::now();
  try {
    work(result);
  } catch (const NotComputable& error) {
    result.epsilon = {};
    result.note = error.what();
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

AccountantResult renyi(const char* name, const Plan& plan, Delta delta, RenyiConversion conversion) {
  return timed(name, [&](AccountantResult& result) {
    const RenyiAnswer answer = rdp_epsilon(plan, delta, conversion);
    result.epsilon = answer.bracket;
    result.order = answer.order;
    if (answer.bracket.upper > 1e308) {
      result.order.reset();
      result.note = "an epsilon_delta event with delta > 0 has no finite Renyi divergence";
    }
  });
}

}  // namespace

std::vector<AccountantResult> compare(const Plan& plan, Delta delta, const Options& options) {
  validate(plan);
  std::vector<AccountantResult> results;
  results.push_back(timed("pld", [&](AccountantResult& result) {
    const Answer answer = certified_epsilon(plan, delta, options);
    result.epsilon = answer.bracket;
    result.engine = name_of(answer.engine);
    if (answer.bracket.upper > 1e308) result.note = "not (epsilon, delta)-private for any epsilon at this delta";
  }));
  results.push_back(renyi("rdp", plan, delta, RenyiConversion::improved));
  results.push_back(renyi("rdp-classic", plan, delta, RenyiConversion::classic));
  results.push_back(timed("basic", [&](AccountantResult& result) {
    result.epsilon = basic_epsilon(plan, delta);
    if (result.epsilon.upper > 1e308) result.note = "the deltas of the events alone exhaust delta";
  }));
  return results;
}

}  // namespace dpflash::accounting
