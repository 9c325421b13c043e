#include "modules/storage/connection.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "modules/storage/page_token.h"
#include "modules/storage/schema.h"

namespace flodea::storage {
namespace {

using sqlite::Statement;

constexpr std::size_t kEntryOverhead = 32;  // of a page's size
constexpr std::uint64_t kMaxVersion = std::numeric_limits<std::int64_t>::max();

// Resets a statement at the end of its use: an open one would hold its transaction.
class Use {
 public:
  explicit Use(Statement& statement) : statement_(statement) {}
  ~Use() { statement_.reset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  Statement* operator->() { return &statement_; }

 private:
  Statement& statement_;
};

tl::unexpected<Error> damaged(const char* what) {
  return fail(Code::kDataLoss, fmt::format("the store's file is damaged: {}", what));
}

Result<std::uint64_t> checked_version(std::int64_t version) {
  if (version < 1) return damaged("a version is not positive");
  return static_cast<std::uint64_t>(version);
}

tl::unexpected<Error> conflict(std::size_t index, const Condition& condition, std::uint64_t now) {
  std::string found = now == 0 ? "it does not exist" : fmt::format("its version is {}", now);
  Error error{
      .code = Code::kFailedPrecondition,
      .message = fmt::format("the key was to have version {}, but {}", condition.version, found),
      .field = fmt::format("conditions[{}]", index),
      .remedy = "read the key again and decide anew"};
  return tl::unexpected(std::move(error).with_metadata("current_version", std::to_string(now)));
}

}  // namespace

struct Connection::Statements {
  Statement get, version, put, erase, state, set_state;
  Statement list, list_keys;
  Statement recall, remember, forget_expired, forget_surplus;
};

Result<std::unique_ptr<Connection>> Connection::open(int directory, const Clock& clock) {
  auto db = TRY(open_database(directory));
  TRY(ensure_schema(db));
  std::unique_ptr<Connection> connection(new Connection(std::move(db), clock));
  if (Status ready = connection->prepare(); !ready) {
    return tl::unexpected(classify(connection->db_, ready.error()));
  }
  return connection;
}

Connection::Connection(sqlite::Database db, const Clock& clock)
    : db_(std::move(db)), clock_(clock) {}
Connection::~Connection() = default;

Status Connection::prepare() {
  auto sql = [this](const char* text) { return db_.prepare(text); };
  statements_ = std::make_unique<Statements>(Statements{
      .get = TRY(sql("SELECT version, value FROM entries WHERE key = ?1")),
      .version = TRY(sql("SELECT version FROM entries WHERE key = ?1")),
      .put = TRY(sql("INSERT INTO entries(key, version, value) VALUES(?1, ?2, ?3) "
                     "ON CONFLICT(key) DO UPDATE SET version = ?2, value = ?3")),
      .erase = TRY(sql("DELETE FROM entries WHERE key = ?1")),
      .state = TRY(sql("SELECT version FROM state WHERE id = 1")),
      .set_state = TRY(sql("UPDATE state SET version = ?1 WHERE id = 1")),
      .list = TRY(sql("SELECT key, version, value FROM entries WHERE key >= ?1 ORDER BY key")),
      .list_keys = TRY(sql("SELECT key, version FROM entries WHERE key >= ?1 ORDER BY key")),
      .recall = TRY(sql("SELECT seq, deleted, time FROM dedup WHERE key = ?1")),
      .remember = TRY(sql("INSERT INTO dedup(seq, key, deleted, time) VALUES(?1, ?2, ?3, ?4) "
                          "ON CONFLICT(key) DO UPDATE SET seq = ?1, deleted = ?3, time = ?4")),
      .forget_expired = TRY(sql("DELETE FROM dedup WHERE time < ?1 AND seq IN "
                                "(SELECT seq FROM dedup ORDER BY seq LIMIT 4)")),
      .forget_surplus = TRY(sql("DELETE FROM dedup WHERE seq IN "
                                "(SELECT seq FROM dedup ORDER BY seq DESC LIMIT 4 OFFSET ?1)"))});
  return {};
}

Result<Entry> Connection::get(const std::string& key) {
  Use select(statements_->get);
  auto row = select->bind_blob(1, key).step();
  if (!row) return tl::unexpected(classify(db_, row.error()));
  if (!*row)
    return tl::unexpected(Error{.code = Code::kNotFound, .message = "no such key", .field = "key"});
  std::uint64_t version = TRY(checked_version(select->integer(0)));
  return Entry{key, select->text(1), version};
}

Result<std::uint64_t> Connection::version_of(const std::string& key) {
  Use select(statements_->version);
  if (!TRY(select->bind_blob(1, key).step())) return 0;
  return checked_version(select->integer(0));
}

Result<std::uint64_t> Connection::store_version() {
  Use select(statements_->state);
  if (!TRY(select->step())) return damaged("its state is missing");
  std::int64_t version = select->integer(0);
  if (version < 0 || static_cast<std::uint64_t>(version) >= kMaxVersion) {
    return damaged("its version cannot rise");
  }
  return static_cast<std::uint64_t>(version);
}

Result<Committed> Connection::commit(const Batch& batch) {
  auto done = write(batch);
  if (done) return done;
  // Refusals of ours are no errors of the file.
  if (done.error().code == Code::kFailedPrecondition) return done;
  return tl::unexpected(classify(db_, std::move(done).error()));
}

Result<Committed> Connection::write(const Batch& batch) {
  auto transaction = TRY(sqlite::Transaction::begin(db_));
  Committed done;
  if (!batch.dedup_key.empty() && TRY(recall(batch.dedup_key, done))) return done;
  TRY(check_conditions(batch));
  done.version = TRY(store_version());
  if (batch.puts.empty() && batch.deletes.empty() && batch.dedup_key.empty()) return done;
  ++done.version;
  for (const Write& put_one : batch.puts) TRY(put(put_one, done.version));
  for (const std::string& key : batch.deletes) done.deleted += TRY(erase(key));
  if (!batch.dedup_key.empty()) TRY(remember(batch.dedup_key, done));
  TRY(statements_->set_state.bind(1, static_cast<std::int64_t>(done.version)).run());
  // Gives pages that deletes freed back to the agent's disk, a few at a time.
  if (done.deleted > 0) TRY(db_.exec("PRAGMA incremental_vacuum(64)"));
  TRY(transaction.commit());
  return done;
}

Status Connection::check_conditions(const Batch& batch) {
  for (std::size_t i = 0; i < batch.conditions.size(); ++i) {
    std::uint64_t now = TRY(version_of(batch.conditions[i].key));
    if (now != batch.conditions[i].version) return conflict(i, batch.conditions[i], now);
  }
  return {};
}

Status Connection::put(const Write& write, std::uint64_t version) {
  return statements_->put.bind_blob(1, write.key)
      .bind(2, static_cast<std::int64_t>(version))
      .bind_blob(3, write.value)
      .run();
}

Result<std::uint32_t> Connection::erase(const std::string& key) {
  TRY(statements_->erase.bind_blob(1, key).run());
  return static_cast<std::uint32_t>(db_.changes());
}

Result<bool> Connection::recall(const std::string& dedup_key, Committed& first) {
  Use select(statements_->recall);
  if (!TRY(select->bind_blob(1, dedup_key).step())) return false;
  if (Nanos(select->integer(2)) + kDedupLifetime < clock_.wall()) return false;
  first.version = TRY(checked_version(select->integer(0)));
  first.deleted = static_cast<std::uint32_t>(select->integer(1));
  return true;
}

Status Connection::remember(const std::string& dedup_key, const Committed& done) {
  std::int64_t now = clock_.wall().count();
  TRY(statements_->remember.bind(1, static_cast<std::int64_t>(done.version))
          .bind_blob(2, dedup_key)
          .bind(3, static_cast<std::int64_t>(done.deleted))
          .bind(4, now)
          .run());
  TRY(statements_->forget_expired.bind(1, now - kDedupLifetime.count()).run());
  return statements_->forget_surplus.bind(1, kDedupKept).run();
}

Result<Page> Connection::list(const Query& query, const std::string& from) {
  Use select(query.keys_only ? statements_->list_keys : statements_->list);
  select->bind_blob(1, from);
  std::size_t wanted = query.page_size == 0 ? kDefaultPageSize : query.page_size;
  std::size_t bytes = 0;
  Page page;
  for (;;) {
    auto row = select->step();
    if (!row) return tl::unexpected(classify(db_, row.error()));
    if (!*row) return page;
    Entry entry{.key = select->text(0), .value = {}, .version = 0};
    if (!entry.key.starts_with(query.prefix)) return page;
    entry.version = TRY(checked_version(select->integer(1)));
    if (!query.keys_only) entry.value = select->text(2);
    // In a damaged tree keys may go round in a circle.
    bool rises = page.entries.empty() ? entry.key >= from : entry.key > page.entries.back().key;
    if (!rises) return damaged("its keys are not in order");
    bytes += entry.key.size() + entry.value.size() + kEntryOverhead;
    bool cut = page.entries.size() == wanted || (bytes > kMaxPageBytes && !page.entries.empty());
    if (cut) {
      page.next_page_token = encode_page_token(page.entries.back().key);
      return page;
    }
    page.entries.push_back(std::move(entry));
  }
}

Status Connection::checkpoint() {
  Status done = db_.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  if (!done) return tl::unexpected(classify(db_, done.error()));
  return {};
}

}  // namespace flodea::storage
