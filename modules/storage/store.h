// The key-value store of one agent: a SQLite file, "store.db", in a directory of the agent's
// encrypted volume, reached only through that directory's descriptor. Acknowledged means synced.
//
// The file is *not trusted*: whoever can write the volume's raw blocks may have made it. Its schema
// must be ours to the letter, nothing in it is executed, and damage is kDataLoss.
//
// Not thread-safe and blocks on the disk: it lives on a strand (base/serial_executor.h). Opens the
// file at the first call, so an agent that stores nothing costs nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace flodea::storage {

inline constexpr std::size_t kMaxKeyBytes = 1024;
inline constexpr std::size_t kMaxValueBytes = 256 * 1024;
inline constexpr std::size_t kMaxOperations = 1000;        // of one batch, conditions included
inline constexpr std::size_t kMaxBatchBytes = 512 * 1024;  // keys and values
inline constexpr std::size_t kMaxDedupKeyBytes = 128;
inline constexpr std::uint32_t kDefaultPageSize = 100;
inline constexpr std::uint32_t kMaxPageSize = 1000;
inline constexpr std::size_t kMaxPageBytes = 512 * 1024;
inline constexpr std::int64_t kDedupKept = 1024;
inline constexpr Nanos kDedupLifetime = std::chrono::hours(24);

struct Entry {
  std::string key;
  std::string value;
  std::uint64_t version = 0;
};

struct Condition {
  std::string key;
  std::uint64_t version = 0;  // 0: the key does not exist
};

struct Write {
  std::string key;
  std::string value;
};

struct Batch {
  std::vector<Condition> conditions;
  std::vector<Write> puts;
  std::vector<std::string> deletes;
  std::string dedup_key;
};

struct Committed {
  std::uint64_t version = 0;
  std::uint32_t deleted = 0;
};

struct Query {
  std::string prefix;
  std::uint32_t page_size = 0;  // 0: kDefaultPageSize
  std::string page_token;
  bool keys_only = false;
};

struct Page {
  std::vector<Entry> entries;
  std::string next_page_token;  // empty: the end
};

class Connection;

class Store {
 public:
  Store(UniqueFd directory, const Clock& clock);
  ~Store();  // checkpoints and closes

  Result<Entry> get(const std::string& key);
  // kFailedPrecondition carries metadata "current_version" and names the condition. A commit that
  // was refused is not remembered under its dedup key: the same key may be tried again.
  Result<Committed> commit(const Batch& batch);
  Result<Page> list(const Query& query);

  void close();  // synced; every later call is kUnavailable

 private:
  Result<Connection*> connect();
  template <class T>
  Result<T> checked(Result<T> result);
  Result<Committed> commit_on_full_disk(Connection& connection, const Batch& batch,
                                        Result<Committed> refused);

  UniqueFd directory_;
  const Clock& clock_;
  bool closed_ = false;
  std::unique_ptr<Connection> connection_;
};

// Bounds, as the proto has them. Pure; kInvalidArgument names the field.
Status check_key(const std::string& key, const std::string& field);
Status check_batch(const Batch& batch);

}  // namespace flodea::storage
