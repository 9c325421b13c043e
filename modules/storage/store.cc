#include "modules/storage/store.h"

#include <fmt/format.h>

#include <cerrno>
#include <set>
#include <utility>

#include "modules/storage/connection.h"
#include "modules/storage/page_token.h"
#include "modules/storage/reserve.h"

namespace flodea::storage {
namespace {

tl::unexpected<Error> invalid(std::string field, std::string message) {
  return tl::unexpected(Error{
      .code = Code::kInvalidArgument, .message = std::move(message), .field = std::move(field)});
}

// Keys that one batch writes: each at most once, or its outcome would depend on an order it has
// not.
Status check_written_once(const Batch& batch) {
  std::set<std::string_view> written;
  for (std::size_t i = 0; i < batch.puts.size(); ++i) {
    if (!written.insert(batch.puts[i].key).second) {
      return invalid(fmt::format("puts[{}].key", i), "the key is written twice in one commit");
    }
  }
  for (std::size_t i = 0; i < batch.deletes.size(); ++i) {
    if (!written.insert(batch.deletes[i]).second) {
      return invalid(fmt::format("deletes[{}]", i), "the key is written twice in one commit");
    }
  }
  return {};
}

Status check_total(const Batch& batch) {
  std::size_t operations = batch.conditions.size() + batch.puts.size() + batch.deletes.size();
  if (operations > kMaxOperations) {
    return invalid("puts", fmt::format("{} operations in one commit; {} are allowed", operations,
                                       kMaxOperations));
  }
  std::size_t bytes = 0;
  for (const Condition& condition : batch.conditions) bytes += condition.key.size();
  for (const Write& put : batch.puts) bytes += put.key.size() + put.value.size();
  for (const std::string& key : batch.deletes) bytes += key.size();
  if (bytes > kMaxBatchBytes) {
    return invalid("puts",
                   fmt::format("{} bytes in one commit; {} are allowed", bytes, kMaxBatchBytes));
  }
  return {};
}

Status check_put(const Write& put, std::size_t index) {
  TRY(check_key(put.key, fmt::format("puts[{}].key", index)));
  if (put.value.size() <= kMaxValueBytes) return {};
  return invalid(
      fmt::format("puts[{}].value", index),
      fmt::format("the value has {} bytes; {} are allowed", put.value.size(), kMaxValueBytes));
}

Status check_query(const Query& query) {
  if (query.prefix.size() > kMaxKeyBytes) return invalid("prefix", "longer than any key");
  if (query.page_size <= kMaxPageSize) return {};
  return invalid("page_size", fmt::format("at most {} entries a page", kMaxPageSize));
}

}  // namespace

Status check_key(const std::string& key, const std::string& field) {
  if (!key.empty() && key.size() <= kMaxKeyBytes) return {};
  return invalid(field, fmt::format("a key has 1 to {} bytes, not {}", kMaxKeyBytes, key.size()));
}

Status check_batch(const Batch& batch) {
  TRY(check_total(batch));
  for (std::size_t i = 0; i < batch.conditions.size(); ++i) {
    TRY(check_key(batch.conditions[i].key, fmt::format("conditions[{}].key", i)));
  }
  for (std::size_t i = 0; i < batch.puts.size(); ++i) TRY(check_put(batch.puts[i], i));
  for (std::size_t i = 0; i < batch.deletes.size(); ++i) {
    TRY(check_key(batch.deletes[i], fmt::format("deletes[{}]", i)));
  }
  if (batch.dedup_key.size() > kMaxDedupKeyBytes) {
    return invalid("dedup_key", fmt::format("at most {} bytes", kMaxDedupKeyBytes));
  }
  return check_written_once(batch);
}

Store::Store(UniqueFd directory, const Clock& clock)
    : directory_(std::move(directory)), clock_(clock) {}
Store::~Store() = default;

void Store::close() {
  connection_.reset();
  directory_.reset();
  closed_ = true;
}

Result<Connection*> Store::connect() {
  if (closed_) return fail(Code::kUnavailable, "the store is closed");
  if (connection_ == nullptr) {
    connection_ = TRY(Connection::open(directory_.get(), clock_));
    keep_reserve(directory_.get());
  }
  return connection_.get();
}

// After an error of the disk or of the file, nothing that SQLite has in memory is to be relied on.
template <class T>
Result<T> Store::checked(Result<T> result) {
  if (result) return result;
  Code code = result.error().code;
  if (code == Code::kDataLoss || code == Code::kInternal) connection_.reset();
  return result;
}

Result<Entry> Store::get(const std::string& key) {
  TRY(check_key(key, "key"));
  Connection* connection = TRY(connect());
  return checked(connection->get(key));
}

Result<Committed> Store::commit(const Batch& batch) {
  TRY(check_batch(batch));
  Connection* connection = TRY(connect());
  auto done = connection->commit(batch);
  if (!done && done.error().code == Code::kResourceExhausted) {
    done = commit_on_full_disk(*connection, batch, std::move(done));
  }
  return checked(std::move(done));
}

Result<Committed> Store::commit_on_full_disk(Connection& connection, const Batch& batch,
                                             Result<Committed> refused) {
  // The log has room again once it has been copied into the database.
  if (connection.checkpoint()) return connection.commit(batch);
  if (batch.deletes.empty() || !batch.puts.empty()) return refused;
  if (!give_up_reserve(directory_.get()) || !connection.checkpoint()) return refused;
  auto done = connection.commit(batch);
  (void)connection.checkpoint();
  keep_reserve(directory_.get());
  return done;
}

Result<Page> Store::list(const Query& query) {
  TRY(check_query(query));
  std::string from = query.prefix;
  if (!query.page_token.empty()) {
    // The least key after the last one seen.
    from = TRY(decode_page_token(query.page_token, query.prefix)) + '\0';
  }
  Connection* connection = TRY(connect());
  Page page = TRY(checked(connection->list(query, from)));
  return page;
}

}  // namespace flodea::storage
