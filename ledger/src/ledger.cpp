#include "dpflash/ledger/ledger.hpp"

#include <cstdio>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>

#include "file.hpp"

namespace dpflash::ledger {
namespace {

using accounting::Plan;
using accounting::UnusableInput;

/// Six digits: for people.
std::string shown(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", x);
  return text;
}

void check_plan(const Plan& plan, const Labels& labels, const Budget& budget) {
  check_labels(labels);
  accounting::validate(plan);
  if (plan.events.empty()) throw UnusableInput("plan.events", "an empty list", "at least one event");
  if (plan.adjacency != budget.adjacency)
    throw UnusableInput("plan.adjacency", std::string(accounting::name_of(plan.adjacency)),
                        "the ledger's: " + std::string(accounting::name_of(budget.adjacency)));
  for (const accounting::Event& event : plan.events) {
    Labels as_layer;
    as_layer.layer = event.label;
    check_labels(as_layer);
  }
}

[[noreturn]] void refuse(const Counts& now, const Counts& then, const Budget& budget) {
  const auto upper = [&](const Counts& counts) {
    return shown(epsilon_of(plan_of(counts, budget.adjacency), budget).upper);
  };
  throw OverBudget("budget: epsilon would be " + upper(then) + " at delta " + shown(budget.delta.value()) + "; " +
                   shown(budget.epsilon.value()) + " is allowed, and " + upper(now) + " is spent or reserved");
}

}  // namespace

Ledger::Ledger(std::unique_ptr<File> file) : file_(std::move(file)) {}
Ledger::Ledger(const std::string& path, Access access)
    : file_(std::make_unique<File>(path, access == Access::write ? Database::Mode::write : Database::Mode::read)) {}
Ledger::~Ledger() = default;
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger& Ledger::operator=(Ledger&&) noexcept = default;

Ledger Ledger::create(const std::string& path, const Budget& budget) { return Ledger(File::make(path, budget)); }

void Ledger::set_patience(double seconds) {
  if (!(seconds >= 0 && seconds <= 1e6)) throw UnusableInput("seconds", shown(seconds), "a number in [0, 1e6]");
  file_->database().set_patience(seconds);
}

namespace {

/// What a spend and a reservation have in common: nothing is recorded unless everything claimed still fits.
template <class File, class Act>
Receipt claim(File& file, const Plan& plan, const Labels& labels, const Act& act) {
  const Budget& budget = file.budget();
  check_plan(plan, labels, budget);
  Counts now;
  Counts then;
  {
    Transaction transaction(file.database(), Transaction::Kind::immediate);
    now = then = file.claimed();
    add(then, plan);
    if (file.headroom().fits(now, then, budget)) {
      const Receipt receipt = act();
      transaction.commit();
      return receipt;
    }
  }
  refuse(now, then, budget);
}

/// `count` releases of a plan of one event.
Plan part_of(const Plan& remaining, std::int64_t count) {
  if (remaining.events.size() != 1)
    throw UnusableInput("count", std::to_string(count), "no count: the reservation has more than one event");
  if (count < 1 || count > remaining.events[0].count)
    throw UnusableInput("count", std::to_string(count),
                        "an integer in [1, " + std::to_string(remaining.events[0].count) + "], what is left");
  Plan part = remaining;
  part.events[0].count = count;
  return part;
}

Plan rest_of(const Plan& remaining, const Plan& part) {
  Plan rest{.adjacency = remaining.adjacency};
  if (part.events.size() != 1 || remaining.events.size() != 1) return rest;
  const std::int64_t left = remaining.events[0].count - part.events[0].count;
  if (left == 0) return rest;
  rest.events = remaining.events;
  rest.events[0].count = left;
  return rest;
}

}  // namespace

Receipt Ledger::spend(const Plan& plan, const Labels& labels) {
  return claim(*file_, plan, labels, [&] {
    file_->add_spent(plan, labels);
    return file_->append(Kind::spend, labels, accounting::plan_to_json(plan), 0);
  });
}

Receipt Ledger::reserve(const Plan& plan, const Labels& labels) {
  return claim(*file_, plan, labels, [&] {
    file_->add_reserved(plan, 1);
    const Receipt receipt = file_->append(Kind::reserve, labels, accounting::plan_to_json(plan), 0);
    file_->set_open(receipt.sequence, labels, plan);
    return receipt;
  });
}

Receipt Ledger::commit(std::int64_t reservation, std::optional<std::int64_t> count) {
  Transaction transaction(file_->database(), Transaction::Kind::immediate);
  const Reservation open = file_->open_reservation(reservation);
  const Plan part = count ? part_of(open.remaining, *count) : open.remaining;
  file_->add_reserved(part, -1);
  file_->add_spent(part, open.labels);
  file_->set_open(reservation, open.labels, count ? rest_of(open.remaining, part) : Plan{});
  const Receipt receipt = file_->append(Kind::commit, open.labels, accounting::plan_to_json(part), reservation);
  transaction.commit();
  return receipt;
}

Receipt Ledger::abort(std::int64_t reservation) {
  Transaction transaction(file_->database(), Transaction::Kind::immediate);
  const Reservation open = file_->open_reservation(reservation);
  file_->add_reserved(open.remaining, -1);
  file_->set_open(reservation, open.labels, {});
  const Receipt receipt =
      file_->append(Kind::abort, open.labels, accounting::plan_to_json(open.remaining), reservation);
  transaction.commit();
  return receipt;
}

const Budget& Ledger::budget() const { return file_->budget(); }

State Ledger::state() const {
  const Budget& budget = file_->budget();
  State out{.budget = budget};
  Counts spent;
  Counts claimed;
  {
    const Transaction snapshot(file_->database(), Transaction::Kind::read);
    out.head = file_->head();
    out.entries = out.head.sequence;
    out.open = file_->open_reservations();
    spent = file_->spent();
    claimed = file_->claimed();
  }
  out.spent = epsilon_of(plan_of(spent, budget.adjacency), budget);
  out.claimed = spent == claimed ? out.spent : epsilon_of(plan_of(claimed, budget.adjacency), budget);
  return out;
}

std::vector<Entry> Ledger::entries(std::int64_t first, std::int64_t count) const {
  if (first < 1) throw UnusableInput("first", std::to_string(first), "an integer of at least 1");
  if (count < 0) throw UnusableInput("count", std::to_string(count), "an integer of at least 0");
  std::vector<Entry> out;
  const Transaction snapshot(file_->database(), Transaction::Kind::read);
  file_->each(first, [&](const Record& r, std::string_view hash) {
    if (static_cast<std::int64_t>(out.size()) >= count) return false;
    Hash bytes{};
    if (hash.size() == bytes.size()) std::copy(hash.begin(), hash.end(), bytes.begin());
    Entry entry{.receipt = {r.sequence, to_hex(bytes)},
                .kind = parse_kind(r.kind),
                .time = r.time,
                .labels = labels_from_json(r.labels),
                .reservation = r.reservation};
    if (entry.kind != Kind::create) entry.plan = stored_plan(r.plan);
    out.push_back(std::move(entry));
    return true;
  });
  return out;
}

}  // namespace dpflash::ledger
