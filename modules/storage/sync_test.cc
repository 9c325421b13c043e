// What a commit costs in syncs: the figures of docs/modules/storage.md. A program of its own, since
// it puts itself before the C library's fsync and fdatasync.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include <catch2/catch_test_macros.hpp>

#include "base/sqlite.h"
#include "modules/storage/store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_dir.h"

static int syncs = 0;

extern "C" int fdatasync(int fd) {
  ++syncs;
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
extern "C" int fsync(int fd) {
  ++syncs;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace flodea::storage {
namespace {

constexpr int kPagesOfCommit = 2;  // of one small entry
constexpr int kFrame = 4096 + 24;  // of a page in the log
constexpr int kCommitsOfLog = 64 / kPagesOfCommit;

int counted(const auto& work) {
  int before = syncs;
  work();
  return syncs - before;
}

}  // namespace

TEST_CASE("a commit costs one sync, and a full log of 64 pages three more") {
  TemporaryDir directory;
  FakeClock clock;
  Store store(UniqueFd(::open(directory.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)), clock);
  auto commit = [&] {
    REQUIRE(store.commit({.conditions = {}, .puts = {{"k", "v"}}, .deletes = {}, .dedup_key = {}}));
  };
  commit();  // makes the file
  auto log_size = [&] { return std::filesystem::file_size(directory.path() + "/store.db-wal"); };
  auto before = log_size();
  CHECK(counted([&] {
          for (int i = 0; i < 10; ++i) commit();
        }) == 10);
  CHECK(log_size() - before == 10 * kPagesOfCommit * kFrame);
  constexpr int kCommits = 10 * kCommitsOfLog;
  CHECK(counted([&] {
          for (int i = 0; i < kCommits; ++i) commit();
        }) == kCommits + 3 * 10);  // the log, the database, the next log's header
}

TEST_CASE("a rollback journal would cost four syncs a commit") {
  TemporaryDir directory;
  auto db = sqlite::Database::open(directory.path() + "/store.db",
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  REQUIRE(db);
  REQUIRE(
      db->exec("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=TRUNCATE;"
               "PRAGMA synchronous=FULL; CREATE TABLE t(k INTEGER PRIMARY KEY, v INTEGER);"
               "INSERT INTO t VALUES(1, 0)"));
  CHECK(counted([&] {
          for (int i = 0; i < 10; ++i) REQUIRE(db->exec("UPDATE t SET v = v + 1"));
        }) == 40);
}

}  // namespace flodea::storage
