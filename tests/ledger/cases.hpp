// What the ledger's tests share: a folder, plans, and other people's hands in the file.
#pragma once

#include <doctest/doctest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/error.hpp>
#include <dpflash/ledger/ledger.hpp>
#include <dpflash/ledger/text.hpp>
#include <filesystem>
#include <string>

namespace cases {

using namespace dpflash;
using accounting::Adjacency;
using accounting::Delta;
using accounting::Epsilon;
using accounting::Plan;
using ledger::Budget;
using ledger::Labels;
using ledger::Ledger;
using ledger::LedgerError;
using ledger::OverBudget;
using ledger::Receipt;

/// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "dpflash-ledger-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const std::string& name = "ledger.db") const { return (path_ / name).string(); }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline Budget budget(double epsilon = 3, double delta = 1e-5, Adjacency adjacency = Adjacency::add_or_remove_one) {
  return {Epsilon(epsilon), Delta(delta), adjacency};
}

inline Plan gaussian(double noise, std::int64_t count = 1, double rate = 1) {
  Plan plan{.events = {{.mechanism = accounting::Gaussian{noise}, .count = count}}};
  if (rate < 1) plan.events[0].sampling = accounting::PoissonSampling{rate};
  return plan;
}

inline double epsilon_of(const Plan& plan, double delta = 1e-5) {
  return accounting::certified_epsilon(plan, Delta(delta), {.relative_width = accounting::RelativeWidth(1e-6)})
      .bracket.upper;
}

/// SQL on the file, past the ledger.
inline void tamper(const std::string& path, const std::string& sql) {
  sqlite3* handle = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &handle) == SQLITE_OK);
  char* error = nullptr;
  const int result = sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, &error);
  INFO(sql, ": ", error == nullptr ? "" : error);
  sqlite3_free(error);
  CHECK(result == SQLITE_OK);
  sqlite3_close(handle);
}

inline constexpr const char* kNoTriggers =
    "DROP TRIGGER entries_are_not_changed; DROP TRIGGER entries_are_not_deleted; ";

}  // namespace cases
