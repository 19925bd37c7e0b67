// A ledger: what was released, by whom, against a budget that cannot be overspent. One SQLite file.
#pragma once

#include <cstdint>
#include <dpflash/accounting/plan.hpp>
#include <dpflash/accounting/quantities.hpp>
#include <dpflash/ledger/error.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dpflash::ledger {

/// What all releases together may cost: (epsilon, delta)-DP under one adjacency.
struct Budget {
  accounting::Epsilon epsilon;  ///< in [0, 1e6]
  accounting::Delta delta;
  accounting::Adjacency adjacency = accounting::Adjacency::add_or_remove_one;
};

/// Steps first to last of a run, both included; 0 <= first <= last.
struct Steps {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

/// Who releases. Texts of at most 256 bytes of UTF-8 without control characters; empty where they say nothing. An empty
/// `layer` takes the label of each event of the plan.
struct Labels {
  std::string run = {};
  std::string layer = {};
  std::string head = {};
  std::optional<Steps> steps = std::nullopt;
};

enum class Kind { create, spend, reserve, commit, abort };

/// "create", "spend", "reserve", "commit" or "abort".
std::string_view name_of(Kind kind);

/// Proof that an entry was recorded: kept elsewhere, it shows later that the entry is still there, and unchanged.
struct Receipt {
  std::int64_t sequence = 0;
  std::string hash = {};  ///< 64 hexadecimal digits
};

struct Entry {
  Receipt receipt = {};
  Kind kind = Kind::create;
  std::string time = {};  ///< UTC by the writer's clock, 2026-01-31T12:00:00.000Z
  Labels labels = {};
  accounting::Plan plan = {};    ///< spend, reserve, commit: what; empty otherwise
  std::int64_t reservation = 0;  ///< commit, abort: the sequence number of the reservation; 0 otherwise
};

/// Something set aside and not yet released.
struct Reservation {
  std::int64_t sequence = 0;
  Labels labels = {};
  accounting::Plan remaining = {};
};

/// Where a ledger stands. Brackets are of epsilon at the budget's delta.
struct State {
  Budget budget;
  std::int64_t entries = 0;
  Receipt head = {};
  accounting::Bracket spent = {};    ///< of what was spent or committed
  accounting::Bracket claimed = {};  ///< the same and all that is reserved: what the budget holds down
  std::vector<Reservation> open = {};
};

/// What the entries are grouped by in a report.
enum class Grouping { run, layer, head, all };

/// One group of a report. Epsilons are upper ends at the budget's delta.
struct Share {
  std::string run = {};
  std::string layer = {};
  std::string head = {};
  std::int64_t releases = 0;  ///< counts of all its events
  double alone = 0;           ///< if nothing else had been released
  double without = 0;         ///< of everything but this group
  double marginal = 0;        ///< whole - without: what leaving it out would save
};

/// What was spent, and by whom. Reservations are not in it.
struct Report {
  State state;
  Grouping grouping = Grouping::all;
  std::vector<Share> shares = {};  ///< largest marginal first
};

/// What a check of every entry found.
struct Verification {
  std::int64_t entries = 0;
  Receipt head = {};
  std::vector<std::string> faults = {};  ///< a line each; none: every entry is as it was recorded
  [[nodiscard]] bool sound() const { return faults.empty(); }
};

/// One open file. Spends are checked against the budget with the composed privacy loss of all that was spent and
/// reserved, and are on the disk when the call returns: only then may the noise be released. Any number of processes
/// and objects may have a file open; writers wait for one another. One object is used by one thread at a time,
/// and by the process that opened it: a fork opens the file again.
///
/// The budget holds for plans whose mechanisms do not depend on what earlier releases gave out: choices that do are
/// covered for Gaussian mechanisms without sampling alone (docs/math/ledger.md).
///
/// Errors: UnusableInput naming the argument, NotComputable for a plan without a sound answer, OverBudget, LedgerError.
/// None of them leaves anything half recorded.
class Ledger {
 public:
  /// Makes a new file. LedgerError when there is one already.
  static Ledger create(const std::string& path, const Budget& budget);
  enum class Access { write, read };
  /// Opens a file; with Access::read nothing is ever written to it.
  explicit Ledger(const std::string& path, Access access = Access::write);
  ~Ledger();
  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// How long a call waits for other writers; 60 seconds at first.
  void set_patience(double seconds);

  /// Records a release that is about to happen. The plan's adjacency must be the budget's. Cost: one certified delta of
  /// the distinct mechanisms (some 0.1 ms for few), and a disk's time to make two or three writes durable.
  Receipt spend(const accounting::Plan& plan, const Labels& labels = {});
  /// Sets a plan aside: it counts against the budget until it is committed or aborted, also when its process is gone.
  Receipt reserve(const accounting::Plan& plan, const Labels& labels = {});
  /// Turns what a reservation still holds into a spend; never over budget. With `count`, so many releases of a
  /// reservation of one event, and the rest stays reserved.
  Receipt commit(std::int64_t reservation, std::optional<std::int64_t> count = std::nullopt);
  /// Gives back what a reservation still holds, which was never released.
  Receipt abort(std::int64_t reservation);

  [[nodiscard]] const Budget& budget() const;
  [[nodiscard]] State state() const;
  /// At most `count` entries from number `first` (1: the oldest) on.
  [[nodiscard]] std::vector<Entry> entries(std::int64_t first, std::int64_t count) const;
  /// Cost: two certified epsilons a group. `progress` is called between them with the share done, in [0, 1]; when it
  /// returns false the report is given up: NotComputable.
  [[nodiscard]] Report report(Grouping grouping, const std::function<bool(double)>& progress = {}) const;
  /// Reads every entry: numbers without gaps, the chain of hashes, sums kept beside the entries, the budget, and that
  /// each of `receipts` is there. Cost: some 5 s for a million entries.
  [[nodiscard]] Verification verify(const std::vector<Receipt>& receipts = {}) const;

  /// The tables themselves, for the library's own parts.
  class File;

 private:
  explicit Ledger(std::unique_ptr<File> file);
  std::unique_ptr<File> file_;
};

}  // namespace dpflash::ledger
