// Every entry read again, and everything that follows from them.
#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <map>

#include "file.hpp"

namespace dpflash::ledger {
namespace {

constexpr std::size_t kMostFaults = 100;

/// What the entries add up to.
struct Replayed {
  Counts spent;
  Counts reserved;
  std::map<std::vector<std::string>, std::int64_t> shares;  ///< by run, layer, head, key
  std::map<std::int64_t, Counts> open;
};

void subtract(Counts& from, const accounting::Plan& plan, bool& short_of) {
  for (const accounting::Event& event : plan.events) {
    auto& count = from[key_of(event)];
    count -= event.count;
    short_of = short_of || count < 0;
  }
}

void drop_zeros(Counts& counts) {
  std::erase_if(counts, [](const auto& item) { return item.second == 0; });
}

class Check {
 public:
  explicit Check(Verification& out) : out_(out) {}

  void fault(const std::string& what) {
    if (out_.faults.size() < kMostFaults) out_.faults.push_back(what);
  }

  /// One entry, in order.
  void entry(const Record& r, std::string_view stored) {
    const std::string name = "entry " + std::to_string(r.sequence);
    const std::int64_t expected = out_.entries + 1;
    if (r.sequence != expected)
      fault("entry " + std::to_string(expected) + " is missing" +
            (r.sequence > expected + 1 ? ", and others up to " + std::to_string(r.sequence - 1) : ""));
    hash_ = chained(hash_, canonical(r));
    if (stored.size() != hash_.size() || !std::equal(stored.begin(), stored.end(), hash_.begin(), [](char a, auto b) {
          return static_cast<unsigned char>(a) == b;
        })) {
      fault(name +
            ": its hash does not follow from it and the entries before: it, or one before, was changed, dropped or "
            "moved");
      // Later entries are checked against what is stored.
      if (stored.size() == hash_.size()) std::copy(stored.begin(), stored.end(), hash_.begin());
    }
    out_.entries = r.sequence;
    out_.head = {r.sequence, to_hex(hash_)};
    hashes_seen(r.sequence);
    try {
      replay(r);
    } catch (const std::exception& error) {
      fault(name + ": " + error.what());
    }
  }

  /// Receipts that are asked for.
  void expect(const std::vector<Receipt>& receipts) {
    for (const Receipt& r : receipts) wanted_.emplace(r.sequence, r.hash);
  }

  void finish(const Counts& spent, const Counts& reserved, const std::vector<LabelledCount>& shares,
              const std::vector<Reservation>& open, const Receipt& head, const Budget& budget) {
    if (out_.entries == 0) fault("there are no entries");
    if (head.sequence != out_.head.sequence || head.hash != out_.head.hash)
      fault(
          "the last entry is not the one that was recorded last: entries were dropped from the end, or added by "
          "others");
    for (const auto& [sequence, hash] : wanted_)
      if (sequence > out_.entries || sequence < 1)
        fault("receipt " + std::to_string(sequence) + ": there is no such entry");
    drop_zeros(replayed_.spent);
    drop_zeros(replayed_.reserved);
    if (replayed_.spent != spent) fault("the sums of what was spent are not those of the entries");
    if (replayed_.reserved != reserved) fault("the sums of what is reserved are not those of the entries");
    std::map<std::vector<std::string>, std::int64_t> kept;
    for (const LabelledCount& s : shares) kept[{s.run, s.layer, s.head, s.key}] += s.count;
    if (kept != replayed_.shares) fault("the sums by label are not those of the entries");
    std::map<std::int64_t, Counts> kept_open;
    for (const Reservation& r : open) add(kept_open[r.sequence], r.remaining);
    if (kept_open != replayed_.open) fault("the open reservations are not those of the entries");
    Counts claimed = replayed_.spent;
    for (const auto& [key, count] : replayed_.reserved) add(claimed, key, count);
    if (!fits(plan_of(claimed, budget.adjacency), budget)) fault("what was spent and reserved is over the budget");
  }

 private:
  void hashes_seen(std::int64_t sequence) {
    const auto [from, to] = wanted_.equal_range(sequence);
    for (auto at = from; at != to; ++at)
      if (at->second != out_.head.hash)
        fault("receipt " + std::to_string(sequence) + ": the entry is not the one that the receipt was given for");
  }

  /// Most entries repeat the plans of others.
  const accounting::Plan& plan_in(const std::string& json) {
    constexpr std::size_t kMost = 10'000;
    if (plans_.size() >= kMost) plans_.clear();
    const auto at = plans_.find(json);
    return at != plans_.end() ? at->second : plans_.emplace(json, stored_plan(json)).first->second;
  }

  void replay(const Record& r) {
    const Kind kind = parse_kind(r.kind);
    if ((kind == Kind::create) != (r.sequence == 1)) throw LedgerError("only the first entry may set the budget");
    if (kind == Kind::create) {
      static_cast<void>(budget_from_json(r.plan));
      return;
    }
    const accounting::Plan& plan = plan_in(r.plan);
    const Labels labels = labels_from_json(r.labels);
    if (kind == Kind::reserve) {
      add(replayed_.reserved, plan);
      add(replayed_.open[r.sequence], plan);
      return;
    }
    if (kind != Kind::spend) {
      const auto open = replayed_.open.find(r.reservation);
      if (open == replayed_.open.end()) throw LedgerError("its reservation is not open");
      bool short_of = false;
      subtract(open->second, plan, short_of);
      subtract(replayed_.reserved, plan, short_of);
      if (short_of) throw LedgerError("its reservation does not hold so much");
      drop_zeros(open->second);
      if (open->second.empty()) replayed_.open.erase(open);
    }
    if (kind == Kind::abort) return;
    add(replayed_.spent, plan);
    for (const LabelledCount& s : labelled(plan, labels)) replayed_.shares[{s.run, s.layer, s.head, s.key}] += s.count;
  }

  Verification& out_;
  Hash hash_{};
  Replayed replayed_;
  std::map<std::string, accounting::Plan> plans_;
  std::multimap<std::int64_t, std::string> wanted_;
};

}  // namespace

Verification Ledger::verify(const std::vector<Receipt>& receipts) const {
  Verification out;
  Check check(out);
  check.expect(receipts);
  const Transaction snapshot(file_->database(), Transaction::Kind::read);
  {
    Statement pages(file_->database(), "PRAGMA integrity_check(20)");
    while (pages.next())
      if (pages.text(0) != "ok") check.fault("the file is damaged: " + std::string(pages.text(0)));
  }
  file_->each(1, [&](const Record& record, std::string_view hash) {
    check.entry(record, hash);
    return true;
  });
  Counts reserved = file_->claimed();
  const Counts spent = file_->spent();
  for (const auto& [key, count] : spent) reserved[key] -= count;
  drop_zeros(reserved);
  check.finish(spent, reserved, file_->shares(), file_->open_reservations(), file_->head(), file_->budget());
  return out;
}

}  // namespace dpflash::ledger
