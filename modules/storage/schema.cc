#include "modules/storage/schema.h"

#include <sqlite3.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "modules/storage/dirfd_vfs.h"

namespace flodea::storage {
namespace {

// Bytes of a key's version come before its value, so that reading them skips the value's pages.
// `tables` is what sqlite_schema must hold, in this order.
constexpr std::array<const char*, 3> kTables = {
    "CREATE TABLE entries(key BLOB PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL)"
    " WITHOUT ROWID",
    "CREATE TABLE state(id INTEGER PRIMARY KEY, version INTEGER NOT NULL)",
    // seq is the version that the commit gave.
    "CREATE TABLE dedup(seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, deleted INTEGER NOT "
    "NULL,"
    " time INTEGER NOT NULL)",
};

// WAL in exclusive mode needs no shared memory and costs one sync a commit, a rollback journal
// four (counted by sync_test.cc). Nothing may go to temporary files: they would be on the host's
// disk.
constexpr const char* kPragmas =
    "PRAGMA locking_mode=EXCLUSIVE;"
    "PRAGMA trusted_schema=OFF;"
    "PRAGMA cell_size_check=ON;"
    "PRAGMA mmap_size=0;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-256;"
    "PRAGMA auto_vacuum=INCREMENTAL;"
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;"
    "PRAGMA wal_autocheckpoint=64;"
    "PRAGMA journal_size_limit=262144;";

void harden(sqlite3* db) {
  static constexpr std::pair<int, int> kLimits[] = {
      {SQLITE_LIMIT_LENGTH, 1 << 20},
      {SQLITE_LIMIT_SQL_LENGTH, 4096},
      {SQLITE_LIMIT_COLUMN, 16},
      {SQLITE_LIMIT_EXPR_DEPTH, 20},
      {SQLITE_LIMIT_COMPOUND_SELECT, 3},
      {SQLITE_LIMIT_VDBE_OP, 2000},
      {SQLITE_LIMIT_FUNCTION_ARG, 8},
      {SQLITE_LIMIT_ATTACHED, 0},
      {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 16},
      {SQLITE_LIMIT_VARIABLE_NUMBER, 8},
      {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
      {SQLITE_LIMIT_WORKER_THREADS, 0},
  };
  for (auto [limit, value] : kLimits) sqlite3_limit(db, limit, value);
  static constexpr std::pair<int, int> kSwitches[] = {
      {SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
      {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
      {SQLITE_DBCONFIG_DQS_DML, 0},        {SQLITE_DBCONFIG_DQS_DDL, 0},
  };
  for (auto [option, value] : kSwitches) sqlite3_db_config(db, option, value, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, nullptr, 256, 64);
}

Result<std::vector<std::string>> tables(sqlite::Database& db) {
  auto select =
      TRY(db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"));
  std::vector<std::string> found;
  while (TRY(select.step())) {
    found.push_back(select.text(0));
    if (found.size() > kTables.size()) break;
  }
  return found;
}

Status create_tables(sqlite::Database& db) {
  auto transaction = TRY(sqlite::Transaction::begin(db));
  for (const char* table : kTables) TRY(db.exec(table));
  TRY(db.exec("INSERT INTO state VALUES(1, 0)"));
  return transaction.commit();
}

}  // namespace

Result<sqlite::Database> open_database(int directory) {
  std::string vfs = TRY(dirfd_vfs());
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                         SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW;
  auto db = TRY(sqlite::Database::open(dirfd_path(directory), kFlags, vfs));
  harden(db.raw());
  if (Status set = db.exec(kPragmas); !set) return tl::unexpected(classify(db, set.error()));
  return db;
}

Status ensure_schema(sqlite::Database& db) {
  auto found = tables(db);
  if (!found) return tl::unexpected(classify(db, found.error()));
  if (found->empty()) {
    Status made = create_tables(db);
    if (!made) return tl::unexpected(classify(db, made.error()));
    return {};
  }
  if (std::ranges::equal(*found, kTables)) return {};
  return fail(Code::kDataLoss, "the store's file has tables that Flodea did not make");
}

Error classify(sqlite::Database& db, Error error) {
  int err = sqlite3_system_errno(db.raw());
  bool io = error.code == Code::kInternal || error.code == Code::kNotFound;
  if (error.code == Code::kResourceExhausted || (io && (err == ENOSPC || err == EDQUOT))) {
    return {.code = Code::kResourceExhausted,
            .message = "the disk of this agent is full",
            .remedy = "delete files or keys, or raise spec.resources.disk"};
  }
  if (error.code == Code::kUnavailable) return std::move(error).with_context("the store is in use");
  int primary = sqlite3_errcode(db.raw()) & 0xff;
  // SQL of ours that does not fit the file: the file is not what we made.
  if (error.code == Code::kDataLoss || error.code == Code::kAlreadyExists ||
      error.code == Code::kOutOfRange || primary == SQLITE_ERROR || primary == SQLITE_MISMATCH) {
    return {.code = Code::kDataLoss,
            .message = "the store's file is damaged",
            .remedy = "restore the volume, or remove the agent and apply it again"};
  }
  error.code = Code::kInternal;
  return error;
}

}  // namespace flodea::storage
