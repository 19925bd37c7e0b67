#include "file.hpp"

#include <algorithm>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>

namespace dpflash::ledger {
namespace {

constexpr std::int64_t kApplication = 0x64706c67;  // "dplg"
constexpr std::int64_t kVersion = 1;

const char* const kSchema[] = {
    "PRAGMA application_id = 0x64706c67",
    "PRAGMA user_version = 1",
    // What happened: never changed, never deleted.
    "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, time TEXT NOT NULL, reservation INTEGER "
    "NOT "
    "NULL, labels TEXT NOT NULL, plan TEXT NOT NULL, hash BLOB NOT NULL) STRICT",
    "CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never "
    "changed'); END",
    "CREATE TRIGGER entries_are_not_deleted BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never "
    "deleted'); END",
    // What follows from the entries, kept so that no operation reads them all.
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, hash BLOB NOT NULL) STRICT",
    "CREATE TABLE totals (event TEXT PRIMARY KEY, spent INTEGER NOT NULL, reserved INTEGER NOT NULL) STRICT, WITHOUT "
    "ROWID",
    "CREATE TABLE shares (run TEXT NOT NULL, layer TEXT NOT NULL, head TEXT NOT NULL, event TEXT NOT NULL, spent "
    "INTEGER "
    "NOT NULL, PRIMARY KEY (run, layer, head, event)) STRICT, WITHOUT ROWID",
    "CREATE TABLE open_reservations (sequence INTEGER PRIMARY KEY, labels TEXT NOT NULL, remaining TEXT NOT NULL) "
    "STRICT",
};

std::string checked_path(const std::string& path) {
  if (path.empty() || path == ":memory:")
    throw accounting::UnusableInput("path", path.empty() ? "an empty text" : path, "the name of a file");
  if (path.find('\0') != std::string::npos)
    throw accounting::UnusableInput("path", "a text with a 0 byte", "the name of a file");
  return path;
}

Hash hash_from(std::string_view bytes) {
  Hash out{};
  if (bytes.size() == out.size()) std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

}  // namespace

std::vector<LabelledCount> labelled(const accounting::Plan& plan, const Labels& labels) {
  std::vector<LabelledCount> out;
  for (const accounting::Event& event : plan.events)
    out.push_back(
        {labels.run, labels.layer.empty() ? event.label : labels.layer, labels.head, key_of(event), event.count});
  return out;
}

Ledger::File::File(const std::string& path, New) : database_(checked_path(path), Database::Mode::create) {}

Ledger::File::File(const std::string& path, Database::Mode mode) : database_(checked_path(path), mode) {
  if (database_.number("PRAGMA application_id") != kApplication) {
    const bool empty = database_.number("PRAGMA page_count") == 0;
    throw LedgerError(path + (empty ? ": it is empty, and no ledger: making it did not end; it can be made again"
                                    : ": it is not a ledger"));
  }
  if (database_.number("PRAGMA user_version") > kVersion)
    throw LedgerError(path + ": it was made by a later version of dpflash");
  Statement first(database_, "SELECT plan FROM entries WHERE sequence = 1 AND kind = 'create'");
  if (!first.next()) damaged("its first entry is missing");
  budget_ = budget_from_json(first.text(0));
}

std::unique_ptr<Ledger::File> Ledger::File::make(const std::string& path, const Budget& budget) {
  check_budget(budget);
  std::unique_ptr<File> file(new File(path, New{}));
  Transaction transaction(file->database_, Transaction::Kind::exclusive);
  if (file->database_.number("SELECT count(*) FROM sqlite_schema") != 0)
    throw LedgerError(path + ": there is a file of this name already");
  for (const char* const sql : kSchema) file->database_.run(sql);
  const Hash nothing{};
  Statement(file->database_, "INSERT INTO head VALUES (1, 0, ?)").bind_bytes(1, nothing.data(), nothing.size()).run();
  file->append(Kind::create, {}, budget_to_json(budget, random_name()), 0);
  transaction.commit();
  file->budget_ = budget;
  return file;
}

void Ledger::File::damaged(const std::string& what) const {
  throw LedgerError(database_.path() + ": it is damaged: " + what);
}

Receipt Ledger::File::head() const {
  Statement head(database_, "SELECT sequence, hash FROM head");
  if (!head.next()) damaged("its head is missing");
  return {head.integer(0), to_hex(hash_from(head.text(1)))};
}

Counts Ledger::File::counts(std::string_view sql) const {
  Counts out;
  Statement rows(database_, sql);
  while (rows.next()) {
    if (rows.integer(1) < 0) damaged("a sum is negative");
    if (rows.integer(1) > 0) out.emplace(rows.text(0), rows.integer(1));
  }
  return out;
}

std::vector<LabelledCount> Ledger::File::shares() const {
  std::vector<LabelledCount> out;
  Statement rows(database_, "SELECT run, layer, head, event, spent FROM shares");
  while (rows.next())
    out.push_back({std::string(rows.text(0)), std::string(rows.text(1)), std::string(rows.text(2)),
                   std::string(rows.text(3)), rows.integer(4)});
  return out;
}

std::vector<Reservation> Ledger::File::open_reservations() const {
  std::vector<Reservation> out;
  Statement rows(database_, "SELECT sequence, labels, remaining FROM open_reservations ORDER BY sequence");
  while (rows.next()) out.push_back({rows.integer(0), labels_from_json(rows.text(1)), stored_plan(rows.text(2))});
  return out;
}

Reservation Ledger::File::open_reservation(std::int64_t sequence) const {
  Statement row(database_, "SELECT labels, remaining FROM open_reservations WHERE sequence = ?");
  row.bind(1, sequence);
  if (!row.next())
    throw accounting::UnusableInput("reservation", std::to_string(sequence),
                                    "the number of a reservation that is neither committed nor aborted");
  return {sequence, labels_from_json(row.text(0)), stored_plan(row.text(1))};
}

void Ledger::File::each(std::int64_t first, const std::function<bool(const Record&, std::string_view)>& act) const {
  Statement rows(
      database_,
      "SELECT sequence, kind, time, reservation, labels, plan, hash FROM entries WHERE sequence >= ? ORDER BY "
      "sequence");
  rows.bind(1, first);
  while (rows.next()) {
    const Record record{rows.integer(0), std::string(rows.text(1)), std::string(rows.text(2)),
                        rows.integer(3), std::string(rows.text(4)), std::string(rows.text(5))};
    if (!act(record, rows.text(6))) return;
  }
}

Receipt Ledger::File::append(Kind kind, const Labels& labels, const std::string& plan, std::int64_t reservation) {
  Record record{.kind = std::string(name_of(kind)),
                .time = utc_now(),
                .reservation = reservation,
                .labels = labels_to_json(labels),
                .plan = plan};
  Hash previous{};
  {
    Statement head(database_, "SELECT sequence, hash FROM head");
    if (!head.next()) damaged("its head is missing");
    record.sequence = head.integer(0) + 1;
    previous = hash_from(head.text(1));
  }
  const Hash hash = chained(previous, canonical(record));
  Statement(database_, "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)")
      .bind(1, record.sequence)
      .bind(2, record.kind)
      .bind(3, record.time)
      .bind(4, record.reservation)
      .bind(5, record.labels)
      .bind(6, record.plan)
      .bind_bytes(7, hash.data(), hash.size())
      .run();
  Statement(database_, "UPDATE head SET sequence = ?, hash = ?")
      .bind(1, record.sequence)
      .bind_bytes(2, hash.data(), hash.size())
      .run();
  return {record.sequence, to_hex(hash)};
}

void Ledger::File::add_spent(const accounting::Plan& plan, const Labels& labels) {
  Statement total(database_,
                  "INSERT INTO totals VALUES (?1, ?2, 0) ON CONFLICT (event) DO UPDATE SET spent = spent + ?2");
  Statement share(database_,
                  "INSERT INTO shares VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (run, layer, head, event) DO UPDATE SET "
                  "spent = spent + ?5");
  for (const LabelledCount& c : labelled(plan, labels)) {
    total.bind(1, c.key).bind(2, c.count).run();
    share.bind(1, c.run).bind(2, c.layer).bind(3, c.head).bind(4, c.key).bind(5, c.count).run();
  }
}

void Ledger::File::add_reserved(const accounting::Plan& plan, int sign) {
  Statement total(database_,
                  "INSERT INTO totals VALUES (?1, 0, ?2) ON CONFLICT (event) DO UPDATE SET reserved = reserved + ?2");
  Statement check(database_, "SELECT reserved FROM totals WHERE event = ?");
  for (const accounting::Event& event : plan.events) {
    const std::string key = key_of(event);
    total.bind(1, key).bind(2, sign * event.count).run();
    check.bind(1, key);
    if (!check.next() || check.integer(0) < 0) damaged("a sum does not hold what is reserved");
    check.reset();
  }
}

void Ledger::File::set_open(std::int64_t sequence, const Labels& labels, const accounting::Plan& remaining) {
  if (remaining.events.empty()) {
    Statement(database_, "DELETE FROM open_reservations WHERE sequence = ?").bind(1, sequence).run();
    return;
  }
  const std::string words = labels_to_json(labels);
  const std::string plan = accounting::plan_to_json(remaining);
  Statement(database_, "INSERT OR REPLACE INTO open_reservations VALUES (?, ?, ?)")
      .bind(1, sequence)
      .bind(2, words)
      .bind(3, plan)
      .run();
}

}  // namespace dpflash::ledger
