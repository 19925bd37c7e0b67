#include "database.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <dpflash/ledger/error.hpp>
#include <new>

namespace dpflash::ledger {
namespace {

/// What a user can do about an error of SQLite.
std::string advice(int result) {
  if (result == SQLITE_READONLY_ROLLBACK || result == SQLITE_READONLY_RECOVERY)
    return "a writer was stopped in the middle; open it once for writing, which takes back what was not finished";
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process is writing to it and did not end in time";
    case SQLITE_READONLY:
      return "it, or its folder, cannot be written to";
    case SQLITE_CANTOPEN:
      return "it cannot be opened, or its folder cannot be written to";
    case SQLITE_FULL:
      return "there is no room on the disk; nothing was recorded";
    case SQLITE_IOERR:
      return "reading or writing failed; nothing was recorded";
    case SQLITE_CORRUPT:
      return "it is damaged";
    case SQLITE_NOTADB:
      return "it is not a ledger";
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return "access is not allowed";
    default:
      return "it cannot be used";
  }
}

int flags_of(Database::Mode mode) {
  switch (mode) {
    case Database::Mode::create:
      return SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    case Database::Mode::write:
      return SQLITE_OPEN_READWRITE;
    case Database::Mode::read:
      return SQLITE_OPEN_READONLY;
  }
  return SQLITE_OPEN_READONLY;
}

}  // namespace

Database::Database(const std::string& path, Mode mode) : path_(path) {
  sqlite3* handle = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &handle, flags_of(mode) | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  handle_.reset(handle);
  check(result);
  set_patience(60);
  // Nothing in a file that someone else made may run: no functions from its schema, no surprises from its pages.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  run("PRAGMA cell_size_check = ON");
  if (mode == Mode::read) return;
  // SQLite opens for reading alone where writing is not allowed: said now, not at the first spend.
  if (sqlite3_db_readonly(handle, "main") != 0) check(SQLITE_READONLY);
  // Durable before COMMIT returns: the file, the journal, and the folder that the journal goes from.
  run("PRAGMA journal_mode = DELETE");
  run("PRAGMA synchronous = EXTRA");
  run("PRAGMA fullfsync = ON");
}

void Database::check(int result) const {
  if (result == SQLITE_OK || result == SQLITE_ROW || result == SQLITE_DONE) return;
  if ((result & 0xff) == SQLITE_NOMEM) throw std::bad_alloc();
  const std::string words = handle_ ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(result);
  throw LedgerError(path_ + ": " + advice(result) + " (SQLite: " + words + ", " + std::to_string(result) + ")");
}

void Database::check_process() const {
  if (getpid() != handle_.get_deleter().owner)
    throw LedgerError(path_ + ": it was opened by another process, of which this is a fork; open it again here");
}

void Database::run(const char* sql) const {
  // One statement; a pragma may give a row, which is dropped.
  Statement statement(*this, sql);
  while (statement.next()) {
  }
}

std::int64_t Database::number(std::string_view sql) const {
  Statement statement(*this, sql);
  return statement.next() ? statement.integer(0) : 0;
}

void Database::set_patience(double seconds) const {
  check(sqlite3_busy_timeout(handle_.get(), static_cast<int>(std::lround(1000 * std::clamp(seconds, 0.0, 1e6)))));
}

Statement::Statement(const Database& database, std::string_view sql) : database_(&database) {
  database.check_process();
  sqlite3_stmt* statement = nullptr;
  const int result =
      sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  statement_.reset(statement);
  check(result);
}

void Statement::check(int result) const { database_->check(result); }

Statement& Statement::bind(int place, std::int64_t value) {
  check(sqlite3_bind_int64(statement_.get(), place, value));
  return *this;
}
Statement& Statement::bind(int place, std::string_view text) {
  check(sqlite3_bind_text64(statement_.get(), place, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}
Statement& Statement::bind_bytes(int place, const void* bytes, std::size_t size) {
  check(sqlite3_bind_blob64(statement_.get(), place, bytes, size, SQLITE_STATIC));
  return *this;
}
Statement& Statement::bind_null(int place) {
  check(sqlite3_bind_null(statement_.get(), place));
  return *this;
}

bool Statement::next() {
  const int result = sqlite3_step(statement_.get());
  check(result);
  return result == SQLITE_ROW;
}

void Statement::run() {
  while (next()) {
  }
  reset();
}

void Statement::reset() {
  check(sqlite3_reset(statement_.get()));
  check(sqlite3_clear_bindings(statement_.get()));
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string_view Statement::text(int column) const {
  // A blob's bytes come through the same way: entries' hashes are read as such.
  const void* const bytes = sqlite3_column_blob(statement_.get(), column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return bytes == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(bytes), size);
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

Transaction::Transaction(const Database& database, Kind kind) : database_(database) {
  database.run(kind == Kind::read ? "BEGIN" : kind == Kind::immediate ? "BEGIN IMMEDIATE" : "BEGIN EXCLUSIVE");
}

Transaction::~Transaction() {
  if (!open_) return;
  // After some errors SQLite has rolled back already; there is nothing else to be done about a failure here.
  if (sqlite3_get_autocommit(database_.handle()) == 0)
    sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

}  // namespace dpflash::ledger
