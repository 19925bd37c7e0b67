// Files that were changed by others, torn, full or out of reach.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "cases.hpp"

using namespace cases;

namespace {

struct Made {
  Folder folder;
  std::vector<Receipt> receipts;
  Made() {
    Ledger ledger = Ledger::create(folder.file(), budget());
    for (int i = 0; i < 5; ++i) receipts.push_back(ledger.spend(gaussian(40 + i), {.run = std::to_string(i)}));
    const Receipt reserved = ledger.reserve(gaussian(50, 3));
    ledger.commit(reserved.sequence, 1);
  }
  [[nodiscard]] ledger::Verification verify(const std::vector<Receipt>& asked = {}) const {
    return Ledger(folder.file(), Ledger::Access::read).verify(asked);
  }
};

}  // namespace

TEST_CASE("verify finds entries that were edited, dropped, moved or added") {
  const char* const changes[] = {
      "UPDATE entries SET plan = replace(plan, '41', '410') WHERE sequence = 3",
      "UPDATE entries SET labels = '{\"run\":\"else\"}' WHERE sequence = 4",
      "UPDATE entries SET time = '2020-01-01T00:00:00.000Z' WHERE sequence = 2",
      "UPDATE entries SET kind = 'abort' WHERE sequence = 5",
      "DELETE FROM entries WHERE sequence = 4",
      "DELETE FROM entries WHERE sequence = 8",
      "DELETE FROM entries WHERE sequence >= 5",
      "UPDATE entries SET sequence = 100 WHERE sequence = 3; UPDATE entries SET sequence = 3 WHERE sequence = 4; "
      "UPDATE "
      "entries SET sequence = 4 WHERE sequence = 100",
      "INSERT INTO entries SELECT 9, kind, time, reservation, labels, plan, hash FROM entries WHERE sequence = 5",
      "UPDATE entries SET plan = replace(plan, '1e-05', '0.1') WHERE sequence = 1",
      "UPDATE entries SET plan = replace(plan, '3.0', '30.0') WHERE sequence = 1",
      "UPDATE head SET sequence = 7",
  };
  for (const char* change : changes) {
    CAPTURE(change);
    const Made made;
    REQUIRE(made.verify().sound());
    tamper(made.folder.file(), std::string(kNoTriggers) + change);
    CHECK(!made.verify().sound());
  }
}

TEST_CASE("verify finds sums that are not those of the entries") {
  for (const char* change :
       {"UPDATE totals SET spent = spent - 1 WHERE event LIKE '%42%'", "DELETE FROM totals",
        "UPDATE totals SET reserved = 0", "DELETE FROM shares WHERE run = '2'", "DELETE FROM open_reservations"}) {
    CAPTURE(change);
    const Made made;
    tamper(made.folder.file(), change);
    CHECK(!made.verify().sound());
  }
}

TEST_CASE("a receipt shows that its entry is there") {
  const Made made;
  CHECK(made.verify(made.receipts).sound());
  Receipt wrong = made.receipts[2];
  wrong.hash[0] = wrong.hash[0] == 'a' ? 'b' : 'a';
  CHECK(!made.verify({wrong}).sound());
  CHECK(!made.verify({{1000, made.receipts[0].hash}}).sound());
  // Another ledger of the same entries has other hashes.
  const Made other;
  CHECK(!other.verify(made.receipts).sound());
}

TEST_CASE("entries cannot be changed or deleted by plain SQL") {
  const Made made;
  sqlite3* handle = nullptr;
  REQUIRE(sqlite3_open(made.folder.file().c_str(), &handle) == SQLITE_OK);
  CHECK(sqlite3_exec(handle, "UPDATE entries SET plan = ''", nullptr, nullptr, nullptr) != SQLITE_OK);
  CHECK(sqlite3_exec(handle, "DELETE FROM entries", nullptr, nullptr, nullptr) != SQLITE_OK);
  sqlite3_close(handle);
}

TEST_CASE("files that are no ledger are refused") {
  const Folder folder;
  const auto why = [&](const std::string& name, const std::string& content) -> std::string {
    std::ofstream(folder.file(name), std::ios::binary) << content;
    try {
      Ledger ledger(folder.file(name));
    } catch (const LedgerError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(why("text", std::string(5000, 'x')).find("not a ledger") != std::string::npos);
  CHECK(why("empty", "").find("making it did not end") != std::string::npos);
  CHECK_THROWS_AS(Ledger(folder.file("missing")), LedgerError);
  CHECK_THROWS_AS(Ledger(folder.path()), LedgerError);
  CHECK_THROWS_AS(Ledger::create(folder.file("no/such/folder"), budget()), LedgerError);
  tamper(folder.file("other.db"), "CREATE TABLE t (x)");
  CHECK_THROWS_AS(Ledger(folder.file("other.db")), LedgerError);
  CHECK_THROWS_AS(Ledger::create(folder.file("other.db"), budget()), LedgerError);
  CHECK_THROWS_AS(Ledger::create(folder.file("text"), budget()), LedgerError);
  // An empty one, as a creation that did not end leaves it, can be made again.
  Ledger::create(folder.file("empty"), budget()).spend(gaussian(5));
  const Made made;
  tamper(made.folder.file(), "PRAGMA user_version = 2");
  CHECK_THROWS_AS(Ledger(made.folder.file()), LedgerError);
}

TEST_CASE("torn files: cut or overwritten, never an answer that counts less") {
  const Made made;
  std::ifstream in(made.folder.file(), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const double spent = Ledger(made.folder.file()).state().spent.upper;
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += 509) {
    for (const bool cut : {true, false}) {
      std::string torn = cut ? whole.substr(0, at) : whole;
      if (!cut) torn.replace(at, std::min<std::size_t>(200, whole.size() - at), 200, '\x5a');
      std::ofstream(made.folder.file("torn"), std::ios::binary | std::ios::trunc) << torn;
      try {
        Ledger ledger(made.folder.file("torn"));
        const ledger::Verification found = ledger.verify(made.receipts);
        if (found.sound()) CHECK(ledger.state().spent.upper >= spent);
        refused += !found.sound();
      } catch (const std::exception&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 50);
}

TEST_CASE("a folder or file that cannot be written to: said, and reading still works") {
  if (geteuid() == 0) {
    MESSAGE("not tested as root, who may write anywhere");
    return;
  }
  const Made made;
  chmod(made.folder.path().c_str(), 0555);
  Ledger in_folder(made.folder.file());
  CHECK_THROWS_AS(in_folder.spend(gaussian(50)), LedgerError);
  CHECK_THROWS_AS(Ledger::create(made.folder.file("new"), budget()), LedgerError);
  chmod(made.folder.file().c_str(), 0444);
  CHECK_THROWS_AS(Ledger(made.folder.file()), LedgerError);
  CHECK(made.verify(made.receipts).sound());
  chmod(made.folder.path().c_str(), 0755);
}

TEST_CASE("no room: the spend is refused, nothing is lost, and it works again with room") {
  const Made made;
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  const auto size = std::filesystem::file_size(made.folder.file());
  const std::int64_t entries = Ledger(made.folder.file()).state().entries;
  for (const rlim_t room : {rlim_t{0}, rlim_t{512}, rlim_t{4096}, static_cast<rlim_t>(size)}) {
    const rlimit limit{room, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    int failed = 0;
    try {
      Ledger ledger(made.folder.file());
      for (int i = 0; i < 200; ++i) ledger.spend(gaussian(1e4), {.run = std::string(200, 'x')});
    } catch (const LedgerError&) {
      failed = 1;
    }
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(failed == 1);
    CHECK(made.verify(made.receipts).sound());
    CHECK(Ledger(made.folder.file()).state().entries >= entries);
  }
  std::signal(SIGXFSZ, before);
  Ledger(made.folder.file()).spend(gaussian(1e4));
  CHECK(made.verify(made.receipts).sound());
}

TEST_CASE("what a killed writer left half written is told to readers, and taken back by writers") {
  const Made made;
  const std::string copy = made.folder.file("killed.db");
  {
    // A transaction so large that pages go to the file before it ends: what stands on the disk then is copied.
    sqlite3* writer = nullptr;
    REQUIRE(sqlite3_open(made.folder.file().c_str(), &writer) == SQLITE_OK);
    REQUIRE(sqlite3_exec(writer,
                         "PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE totals SET spent = 0; WITH RECURSIVE n(i) AS "
                         "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO shares SELECT i, '', '', "
                         "'x', i FROM n",
                         nullptr, nullptr, nullptr) == SQLITE_OK);
    std::filesystem::copy_file(made.folder.file(), copy);
    std::filesystem::copy_file(made.folder.file() + "-journal", copy + "-journal");
    sqlite3_close(writer);
  }
  std::string why;
  try {
    static_cast<void>(Ledger(copy, Ledger::Access::read).state());
  } catch (const LedgerError& error) {
    why = error.what();
  }
  CHECK(why.find("open it once for writing") != std::string::npos);
  CHECK(Ledger(copy).verify(made.receipts).sound());
  CHECK(Ledger(copy, Ledger::Access::read).verify(made.receipts).sound());
}

TEST_CASE("a writer that is not given its turn says so") {
  const Made made;
  sqlite3* other = nullptr;
  REQUIRE(sqlite3_open(made.folder.file().c_str(), &other) == SQLITE_OK);
  REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
  Ledger ledger(made.folder.file());
  ledger.set_patience(0.05);
  CHECK_THROWS_AS(ledger.spend(gaussian(50)), LedgerError);
  sqlite3_close(other);
  ledger.spend(gaussian(50));
  CHECK_THROWS_AS(ledger.set_patience(-1), accounting::UnusableInput);
}
