// A thin owner of SQLite handles (https://sqlite.org/c3ref/intro.html). Not thread-safe: one
// Database belongs to one thread or strand. Its own library, flodea_sqlite: flodead, the worker and
// the CLI never link it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace flodea::sqlite {

class Statement {
 public:
  Statement(Statement&&) noexcept = default;
  Statement& operator=(Statement&&) noexcept = default;

  // Parameters are counted from 1, columns from 0, as SQLite does.
  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);
  Statement& bind_null(int index);
  Result<bool> step();  // true: a row is there; false: done. A bind that failed is reported here.
  Status run();         // step until done, then reset
  void reset();         // ready to be bound and stepped again

  std::int64_t integer(int column) const;
  std::string text(int column) const;  // also blobs, byte for byte
  bool is_null(int column) const;

 private:
  friend class Database;  // makes it
  struct Finalize {
    void operator()(sqlite3_stmt* s) const;
  };
  explicit Statement(sqlite3_stmt* s) : statement_(s) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bind_error_ = 0;
};

class Database {
 public:
  // `flags` as sqlite3_open_v2; `vfs` empty for the default. A file that is no database, or
  // truncated: kDataLoss.
  static Result<Database> open(const std::string& path, int flags, const std::string& vfs = {});
  Database(Database&&) noexcept = default;
  Database& operator=(Database&&) noexcept = default;

  Status exec(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  std::int64_t changes() const;
  std::int64_t last_insert_rowid() const;
  sqlite3* raw() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit Database(sqlite3* db) : handle_(db) {}
  std::unique_ptr<sqlite3, Close> handle_;
};

// BEGIN IMMEDIATE … COMMIT; rolls back when it goes out of scope uncommitted.
class Transaction {
 public:
  static Result<Transaction> begin(Database& db);
  Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& db) : db_(&db) {}
  Database* db_;
};

}  // namespace flodea::sqlite
