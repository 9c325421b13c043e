#include "supervisor/control/state/state_schema.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "supervisor/control/state/state_db.h"

namespace flodea::control {

tl::unexpected<Error> unusable_state(const std::string& path, std::string why) {
  Error error = fail(Code::kDataLoss, path + " " + std::move(why)).value();
  return tl::unexpected<Error>(
      std::move(error).with_remedy("restore it from a backup; or move it away to begin without "
                                   "agents (their volumes and keys stay on disk)"));
}

namespace {

constexpr std::int64_t kApplicationId = 0x464c4f44;  // "FLOD", pragma application_id

// kMigrations[n] brings version n to n + 1. Never edited once released; a new version is a new row.
constexpr std::array<const char*, StateDb::kSchemaVersion> kMigrations{R"sql(
  CREATE TABLE agents (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL, created INTEGER NOT NULL,
    desired_running INTEGER NOT NULL, incarnation INTEGER NOT NULL, removal INTEGER NOT NULL, volume_made INTEGER NOT NULL,
    state INTEGER NOT NULL, reason INTEGER NOT NULL, message TEXT NOT NULL, generation INTEGER NOT NULL,
    started_incarnation INTEGER NOT NULL, in_a_row INTEGER NOT NULL, failures INTEGER NOT NULL, restarts INTEGER NOT NULL,
    stop_cause INTEGER NOT NULL, after INTEGER, exit_code INTEGER, state_since INTEGER NOT NULL, next_start INTEGER NOT NULL,
    boot_id TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE revisions (
    agent TEXT NOT NULL REFERENCES agents(id) ON DELETE CASCADE, revision INTEGER NOT NULL, manifest TEXT NOT NULL,
    PRIMARY KEY (agent, revision)) WITHOUT ROWID;
  CREATE TABLE kept_volumes (
    name TEXT PRIMARY KEY, id TEXT NOT NULL, disk INTEGER NOT NULL, generation INTEGER NOT NULL) WITHOUT ROWID;
)sql",
                                                                       R"sql(
  ALTER TABLE agents ADD COLUMN proven_revision INTEGER NOT NULL DEFAULT 0;
)sql",
                                                                       R"sql(
  ALTER TABLE agents ADD COLUMN observed_revision INTEGER NOT NULL DEFAULT 0;
  UPDATE agents SET observed_revision = revision WHERE started_incarnation = incarnation;
  ALTER TABLE revisions ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE revisions ADD COLUMN author TEXT NOT NULL DEFAULT '';
  ALTER TABLE revisions ADD COLUMN bundle TEXT NOT NULL DEFAULT '';
  UPDATE revisions SET bundle = json_extract(manifest, '$.spec.bundle') WHERE json_valid(manifest);
)sql",
                                                                       R"sql(
  ALTER TABLE kept_volumes ADD COLUMN made INTEGER NOT NULL DEFAULT 1;
  CREATE TABLE crash_suspects (agent TEXT PRIMARY KEY, crashes INTEGER NOT NULL) WITHOUT ROWID;
)sql"};

Result<std::int64_t> pragma(sqlite::Database& db, const char* name) {
  auto statement = TRY(db.prepare(std::string("PRAGMA ") + name));
  TRY(statement.step());
  return statement.integer(0);
}

// 0: a file without content yet.
Result<std::int64_t> known_version(sqlite::Database& db, const std::string& path) {
  std::int64_t version = TRY(pragma(db, "user_version"));
  std::int64_t application = TRY(pragma(db, "application_id"));
  std::int64_t tables = 0;
  {
    auto count = TRY(db.prepare("SELECT count(*) FROM sqlite_schema"));
    TRY(count.step());
    tables = count.integer(0);
  }
  bool fresh = version == 0 && application == 0 && tables == 0;
  if (!fresh && application != kApplicationId)
    return unusable_state(path, "is a database of another program");
  if (version > StateDb::kSchemaVersion) {
    Error error = fail(Code::kDataLoss, path + " was written by a later Flodea (schema " +
                                            std::to_string(version) + ", this build knows " +
                                            std::to_string(StateDb::kSchemaVersion) + ")")
                      .value();
    return tl::unexpected(
        std::move(error).with_remedy("install that version again: the state is as it was"));
  }
  return version;
}

Status migrate(sqlite::Database& db, const std::string& path) {
  std::int64_t version = TRY(known_version(db, path));
  if (version == StateDb::kSchemaVersion) return {};
  auto transaction = TRY(sqlite::Transaction::begin(db));
  for (std::int64_t v = version; v < StateDb::kSchemaVersion; ++v)
    TRY(db.exec(kMigrations[static_cast<std::size_t>(v)]));
  TRY(db.exec("PRAGMA application_id=" + std::to_string(kApplicationId)));
  TRY(db.exec("PRAGMA user_version=" + std::to_string(StateDb::kSchemaVersion)));
  return transaction.commit();
}

// An empty file is how a database begins, and also what a truncation to nothing leaves: then
// agents' logs are still there.
bool lost_its_content(const std::string& path) {
  std::error_code ignored;
  namespace fs = std::filesystem;
  if (!fs::is_regular_file(path, ignored) || fs::file_size(path, ignored) != 0) return false;
  if (fs::exists(path + "-wal", ignored) && fs::file_size(path + "-wal", ignored) != 0)
    return false;
  return !fs::is_empty(fs::path(path).parent_path() / "logs", ignored) && !ignored;
}

// Who reads it knows every spec, and who locks it stops this node. Its journals are made with its
// mode; an earlier version left all of them open. By name: the end of a descriptor of SQLite's
// files would end its locks.
Status close_to_others(const std::string& path) {
  for (const char* end : {"", "-wal", "-shm"}) {
    if (::fchmodat(AT_FDCWD, (path + end).c_str(), 0600, 0) != 0 && errno != ENOENT)
      return fail_errno("set mode of " + path + end);
  }
  return {};
}

Error described(Error error, const std::string& path) {
  if (error.code == Code::kDataLoss && error.remedy.empty())
    return unusable_state(path, "is damaged or not a database (" + error.message + ")").value();
  return std::move(error).with_context(path);
}

constexpr const char* kLostContent = "is empty: its content was lost";

}  // namespace

Status check_state_file(const std::string& path) {
  if (lost_its_content(path)) return unusable_state(path, kLostContent);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored) && !ignored) return {};
  auto known = [&]() -> Status {
    auto db = TRY(sqlite::Database::open(path, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX));
    TRY(db.exec("PRAGMA busy_timeout=5000; PRAGMA trusted_schema=OFF"));
    TRY(known_version(db, path));
    return {};
  }();
  if (known) return {};
  return tl::unexpected(described(std::move(known).error(), path));
}

Result<sqlite::Database> open_state_file(const std::string& path) {
  if (lost_its_content(path)) return unusable_state(path, kLostContent);
  auto db = TRY(sqlite::Database::open(
      path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX));
  auto usable = [&]() -> Status {
    TRY(close_to_others(path));
    TRY(db.exec("PRAGMA busy_timeout=5000; PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=ON"));
    TRY(db.exec("PRAGMA journal_mode=WAL"));
    return migrate(db, path);
  }();
  if (usable) return db;
  return tl::unexpected(described(std::move(usable).error(), path));
}

}  // namespace flodea::control
