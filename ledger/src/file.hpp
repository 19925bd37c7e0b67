// An open ledger file: its tables, and the pieces that operations are made of.
#pragma once

#include <functional>

#include "composed.hpp"
#include "database.hpp"
#include "record.hpp"

namespace dpflash::ledger {

/// Sums by labels, of what was spent.
struct LabelledCount {
  std::string run;
  std::string layer;
  std::string head;
  std::string key;
  std::int64_t count;
};

class Ledger::File {
 public:
  /// Opens a ledger.
  File(const std::string& path, Database::Mode mode);
  /// Makes one. LedgerError when the file is not new, or empty.
  static std::unique_ptr<File> make(const std::string& path, const Budget& budget);

  [[nodiscard]] const Budget& budget() const { return *budget_; }
  [[nodiscard]] const Database& database() const { return database_; }
  Headroom& headroom() { return headroom_; }

  // All that follows belongs inside a transaction.
  [[nodiscard]] Receipt head() const;
  [[nodiscard]] Counts spent() const { return counts("SELECT event, spent FROM totals"); }
  [[nodiscard]] Counts claimed() const { return counts("SELECT event, spent + reserved FROM totals"); }
  [[nodiscard]] std::vector<LabelledCount> shares() const;
  [[nodiscard]] std::vector<Reservation> open_reservations() const;
  /// Throws UnusableInput when it is not open.
  [[nodiscard]] Reservation open_reservation(std::int64_t sequence) const;
  /// Calls act with each record from number `first` on and its stored hash, until it returns false.
  void each(std::int64_t first, const std::function<bool(const Record&, std::string_view)>& act) const;

  Receipt append(Kind kind, const Labels& labels, const std::string& plan, std::int64_t reservation);
  /// Adds to the sums of each mechanism of a plan; `sign` 1 or -1.
  void add_spent(const accounting::Plan& plan, const Labels& labels);
  void add_reserved(const accounting::Plan& plan, int sign);
  /// Replaces what is open of a reservation; an empty plan ends it.
  void set_open(std::int64_t sequence, const Labels& labels, const accounting::Plan& remaining);

 private:
  struct New {};
  File(const std::string& path, New);
  [[nodiscard]] Counts counts(std::string_view sql) const;
  [[noreturn]] void damaged(const std::string& what) const;
  Database database_;
  std::optional<Budget> budget_;
  Headroom headroom_;
};

/// Counts of what is spent under which labels; one for each event of the plan.
std::vector<LabelledCount> labelled(const accounting::Plan& plan, const Labels& labels);

}  // namespace dpflash::ledger
