// The open SQLite file of a store (store.h), with its statements. Not thread-safe. Errors are told
// apart by what they mean to the agent: kResourceExhausted (disk full), kDataLoss (damaged file),
// kInternal (the disk failed).
#pragma once

#include <memory>
#include <string>

#include "base/sqlite.h"
#include "modules/storage/store.h"

namespace flodea::storage {

class Connection {
 public:
  // Opens or makes "store.db" in the directory.
  static Result<std::unique_ptr<Connection>> open(int directory, const Clock& clock);

  Result<Entry> get(const std::string& key);
  Result<Committed> commit(const Batch& batch);  // of a checked batch
  Result<Page> list(const Query& query, const std::string& from);
  Status checkpoint();
  ~Connection();

 private:
  struct Statements;

  Connection(sqlite::Database db, const Clock& clock);
  Status prepare();
  Result<Committed> write(const Batch& batch);
  Result<std::uint64_t> version_of(const std::string& key);
  Result<std::uint64_t> store_version();
  Status check_conditions(const Batch& batch);
  Status put(const Write& write, std::uint64_t version);
  Result<std::uint32_t> erase(const std::string& key);
  Result<bool> recall(const std::string& dedup_key, Committed& first);
  Status remember(const std::string& dedup_key, const Committed& done);

  sqlite::Database db_;
  const Clock& clock_;
  std::unique_ptr<Statements> statements_;  // after db_: finalised before it is closed
};

}  // namespace flodea::storage
