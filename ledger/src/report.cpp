// Who spent what: each group's epsilon alone, and what the whole would be without it.
#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <map>
#include <tuple>

#include "file.hpp"

namespace dpflash::ledger {
namespace {

using Name = std::tuple<std::string, std::string, std::string>;

Name name_in(const LabelledCount& c, Grouping grouping) {
  switch (grouping) {
    case Grouping::run:
      return {c.run, "", ""};
    case Grouping::layer:
      return {"", c.layer, ""};
    case Grouping::head:
      return {"", c.layer, c.head};
    case Grouping::all:
      break;
  }
  return {c.run, c.layer, c.head};
}

Counts without(const Counts& whole, const Counts& part) {
  Counts out = whole;
  for (const auto& [key, count] : part) out[key] -= count;
  return out;
}

}  // namespace

Report Ledger::report(Grouping grouping, const std::function<bool(double)>& progress) const {
  const Budget& budget = file_->budget();
  Report out{.state = state(), .grouping = grouping};
  std::map<Name, Counts> groups;
  Counts whole;
  {
    const Transaction snapshot(file_->database(), Transaction::Kind::read);
    for (const LabelledCount& c : file_->shares()) {
      add(groups[name_in(c, grouping)], c.key, c.count);
      add(whole, c.key, c.count);
    }
  }
  const auto upper = [&](const Counts& counts) { return epsilon_of(plan_of(counts, budget.adjacency), budget).upper; };
  const double all = upper(whole);
  double done = 0;
  for (const auto& [name, counts] : groups) {
    if (progress && !progress(done++ / static_cast<double>(groups.size())))
      throw accounting::NotComputable("report: given up, as progress asked");
    Share share{.run = std::get<0>(name), .layer = std::get<1>(name), .head = std::get<2>(name)};
    for (const auto& [key, count] : counts) share.releases += count;
    share.alone = upper(counts);
    share.without = upper(without(whole, counts));
    // Both ends are rounded up: a share that costs nothing may come out a little below 0.
    share.marginal = std::max(0.0, all - share.without);
    out.shares.push_back(std::move(share));
  }
  std::stable_sort(out.shares.begin(), out.shares.end(),
                   [](const Share& a, const Share& b) { return a.marginal > b.marginal; });
  return out;
}

}  // namespace dpflash::ledger
