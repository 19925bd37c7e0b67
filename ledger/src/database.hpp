// SQLite with errors as exceptions: one connection, its statements and transactions.
#pragma once

#include <sqlite3.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace dpflash::ledger {

class Database;

/// A prepared statement. Bound texts must live until it has run.
class Statement {
 public:
  Statement(const Database& database, std::string_view sql);
  Statement& bind(int place, std::int64_t value);
  Statement& bind(int place, std::string_view text);
  Statement& bind_bytes(int place, const void* bytes, std::size_t size);
  Statement& bind_null(int place);
  /// The next row; false when there is none.
  bool next();
  /// For statements without rows.
  void run();
  /// For another time.
  void reset();

  [[nodiscard]] std::int64_t integer(int column) const;
  /// Valid until the next row.
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] bool is_null(int column) const;

 private:
  struct Finalise {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  void check(int result) const;
  const Database* database_;
  std::unique_ptr<sqlite3_stmt, Finalise> statement_;
};

/// One connection, of the process that made it: SQLite's locks are the process's, and a forked child that used a copy
/// could damage the file. Errors are LedgerError, one line with the file's name.
class Database {
 public:
  enum class Mode { create, write, read };
  Database(const std::string& path, Mode mode);

  void run(const char* sql) const;
  /// The only number that a query gives.
  [[nodiscard]] std::int64_t number(std::string_view sql) const;
  void set_patience(double seconds) const;
  [[nodiscard]] sqlite3* handle() const { return handle_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Throws LedgerError for anything but SQLITE_OK, SQLITE_ROW and SQLITE_DONE.
  void check(int result) const;
  /// Throws LedgerError in a process that did not open it.
  void check_process() const;

 private:
  struct Close {
    Close() : owner(getpid()) {}
    pid_t owner;
    void operator()(sqlite3* handle) const {
      if (getpid() == owner) sqlite3_close_v2(handle);
    }
  };
  std::string path_;
  std::unique_ptr<sqlite3, Close> handle_;
};

/// Everything or nothing: rolled back unless committed. `immediate`: no other writer until the end.
class Transaction {
 public:
  enum class Kind { read, immediate, exclusive };
  Transaction(const Database& database, Kind kind);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  /// Returns when all of it is on the disk.
  void commit();

 private:
  const Database& database_;
  bool open_ = true;
};

}  // namespace dpflash::ledger
