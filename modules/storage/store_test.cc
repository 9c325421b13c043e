#include "modules/storage/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>
#include <latch>

#include <catch2/catch_test_macros.hpp>

#include "modules/storage/dirfd_vfs.h"
#include "modules/storage/store_queue.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_dir.h"

namespace flodea::storage {
namespace {

namespace fs = std::filesystem;

UniqueFd open_directory(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

struct Fixture {
  Fixture() { reopen(); }
  void reopen() {
    store.reset();
    store = std::make_unique<Store>(open_directory(directory), clock);
  }
  Result<Committed> put(const std::string& key, const std::string& value) {
    return store->commit(
        {.conditions = {}, .puts = {{key, value}}, .deletes = {}, .dedup_key = {}});
  }
  std::string file() const { return directory + "/store.db"; }

  FakeClock clock;
  TemporaryDir own;
  const std::string& directory = own.path();
  std::unique_ptr<Store> store;
};

Code code_of(const auto& result) { return result ? Code{} : result.error().code; }
std::string field_of(const auto& result) { return result ? "" : result.error().field; }

// A tmpfs that is mounted nowhere, as control gets the store of a volume.
UniqueFd detached_tmpfs(const char* size) {
  UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  ::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "size", size, 0);
  ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  return UniqueFd(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("what was put is there, with a version, and after closing and opening too") {
  Fixture f;
  CHECK(code_of(f.store->get("k")) == Code::kNotFound);
  std::uint64_t version = f.put("k", std::string("\0v\xff", 3))->version;
  CHECK(version > 0);
  f.reopen();
  Entry entry = *f.store->get("k");
  CHECK(entry.value == std::string("\0v\xff", 3));
  CHECK(entry.version == version);
}

TEST_CASE("an acknowledged put is in the files, even if the process dies now") {
  Fixture f;
  REQUIRE(f.put("k", "v"));
  std::string copy = f.directory + "/copy";
  fs::create_directory(copy);
  for (const char* name : {"store.db", "store.db-wal"}) {
    fs::copy_file(f.directory + "/" + name, copy + "/" + name);
  }
  Store other(open_directory(copy), f.clock);
  CHECK(other.get("k")->value == "v");
}

TEST_CASE("versions rise with every commit, whichever key it writes") {
  Fixture f;
  auto a = f.put("a", "1")->version;
  auto b = f.put("b", "1")->version;
  auto a2 = f.put("a", "2")->version;
  CHECK(a < b);
  CHECK(b < a2);
  f.store->commit({.deletes = {"a"}});
  CHECK(f.put("a", "3")->version > a2 + 1);
}

TEST_CASE("a commit happens whole, if all conditions hold, or not at all") {
  Fixture f;
  auto version = f.put("a", "1")->version;
  Batch batch{
      .conditions = {{"a", version}, {"b", 0}}, .puts = {{"b", "2"}}, .deletes = {"a", "z"}};
  Committed done = *f.store->commit(batch);
  CHECK(done.deleted == 1);  // "z" was not there
  CHECK(code_of(f.store->get("a")) == Code::kNotFound);

  auto again = f.store->commit(batch);
  REQUIRE(code_of(again) == Code::kFailedPrecondition);
  CHECK(again.error().field == "conditions[0]");
  CHECK(again.error().metadata.at(0).second == "0");

  Batch second{.conditions = {{"b", done.version}, {"c", 99}}, .puts = {{"b", "lost"}}};
  CHECK(field_of(f.store->commit(second)) == "conditions[1]");
  CHECK(f.store->get("b")->value == "2");
}

TEST_CASE("a dedup key gives the first answer and changes nothing, for 24 hours") {
  Fixture f;
  f.put("x", "old");
  Batch batch{.puts = {{"k", "1"}}, .deletes = {"x"}, .dedup_key = "order-7"};
  Committed first = *f.store->commit(batch);
  f.put("k", "2");
  f.reopen();
  f.clock.advance(std::chrono::hours(23));
  Committed again = *f.store->commit(batch);
  CHECK(again.version == first.version);
  CHECK(again.deleted == 1);
  CHECK(f.store->get("k")->value == "2");
  f.clock.advance(std::chrono::hours(2));
  CHECK(f.store->commit(batch)->version > first.version);
  CHECK(f.store->get("k")->value == "1");
}

TEST_CASE("a refused commit is not remembered under its dedup key") {
  Fixture f;
  Batch batch{.conditions = {{"k", 5}}, .puts = {{"k", "1"}}, .dedup_key = "d"};
  CHECK(code_of(f.store->commit(batch)) == Code::kFailedPrecondition);
  batch.conditions = {};
  CHECK(f.store->commit(batch).has_value());
}

TEST_CASE("the last 1,024 dedup keys are kept") {
  Fixture f;
  auto commit = [&f](int i) {
    return f.store->commit({.puts = {{"k", "v"}}, .dedup_key = "d" + std::to_string(i)})->version;
  };
  std::vector<std::uint64_t> versions;
  for (int i = 0; i < 1030; ++i) versions.push_back(commit(i));
  CHECK(commit(6) == versions[6]);
  CHECK(commit(1029) == versions[1029]);
  CHECK(commit(5) > versions[1029]);
}

TEST_CASE("listings go in byte order by prefix, page by page") {
  Fixture f;
  for (std::string key : {"b", "a\xff", "a", "ab", "aa", "\xff\xff"}) {
    f.put(key, "v");
  }
  std::vector<std::string> keys;
  Query query{.prefix = "a", .page_size = 2};
  do {
    Page page = *f.store->list(query);
    CHECK(page.entries.size() <= 2);
    for (auto& entry : page.entries) keys.push_back(entry.key);
    query.page_token = page.next_page_token;
  } while (!query.page_token.empty());
  CHECK(keys == std::vector<std::string>{"a", "aa", "ab", "a\xff"});
  CHECK(f.store->list({.prefix = "\xff"})->entries.size() == 1);
  CHECK(f.store->list({})->entries.size() == 6);
  Page keys_only = *f.store->list({.keys_only = true});
  CHECK(keys_only.entries[0].value.empty());
  CHECK(keys_only.entries[0].version > 0);
}

TEST_CASE("a page is cut at 512 KiB") {
  Fixture f;
  for (char c = 'a'; c < 'f'; ++c) REQUIRE(f.put({c}, std::string(kMaxValueBytes, c)));
  Page page = *f.store->list({});
  CHECK(page.entries.size() == 1);  // with its key the second would not fit
  Query rest{.page_token = page.next_page_token};
  CHECK(f.store->list(rest)->entries[0].key == "b");
}

TEST_CASE("page tokens are checked") {
  Fixture f;
  for (const char* key : {"a1", "a2", "b"}) f.put(key, "v");
  std::string token = f.store->list({.prefix = "a", .page_size = 1})->next_page_token;
  CHECK(f.store->list({.prefix = "a", .page_token = token}).has_value());
  for (const Query& query :
       {Query{.prefix = "b", .page_token = token}, Query{.prefix = "a", .page_token = "a1"},
        Query{.prefix = "a", .page_token = "%%%"},
        Query{.page_token = std::string(100'000, 'A')}}) {
    CHECK(field_of(f.store->list(query)) == "page_token");
  }
}

TEST_CASE("bounds are what the proto says, and the field is named") {
  Fixture f;
  CHECK(f.put(std::string(kMaxKeyBytes, 'k'), std::string(kMaxValueBytes, 'v')).has_value());
  CHECK(f.put("empty", "").has_value());
  CHECK(field_of(f.put("", "v")) == "puts[0].key");
  CHECK(field_of(f.put(std::string(kMaxKeyBytes + 1, 'k'), "v")) == "puts[0].key");
  CHECK(field_of(f.put("k", std::string(kMaxValueBytes + 1, 'v'))) == "puts[0].value");
  CHECK(field_of(f.store->get("")) == "key");
  CHECK(field_of(f.store->list({.page_size = kMaxPageSize + 1})) == "page_size");
  CHECK(field_of(f.store->commit({.dedup_key = std::string(129, 'd')})) == "dedup_key");
  CHECK(field_of(f.store->commit({.puts = {{"k", "1"}}, .deletes = {"k"}})) == "deletes[0]");
  CHECK(field_of(f.store->commit({.puts = {{"k", "1"}, {"k", "2"}}})) == "puts[1].key");
  Batch many;
  for (std::size_t i = 0; i < kMaxOperations; ++i) many.deletes.push_back(std::to_string(i));
  CHECK(f.store->commit(many).has_value());
  many.deletes.push_back("one more");
  CHECK(code_of(f.store->commit(many)) == Code::kInvalidArgument);
  Batch large{
      .puts = {{"a", std::string(kMaxValueBytes, '1')}, {"b", std::string(kMaxValueBytes, '1')}}};
  CHECK(code_of(f.store->commit(large)) == Code::kInvalidArgument);
}

TEST_CASE("a detached mount's store is made inside it; SQLite's own VFS would leave it") {
  UniqueFd mount = detached_tmpfs("4m");
  REQUIRE(mount.valid());
  REQUIRE_FALSE(fs::exists("/store.db"));
  {
    // The attack works without the control: the file appears in the host's root.
    sqlite3* db = nullptr;
    std::string path = dirfd_path(mount.get());
    sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix");
    sqlite3_exec(db, "CREATE TABLE t(x)", nullptr, nullptr, nullptr);
    sqlite3_close(db);
    CHECK(fs::exists("/store.db"));
    fs::remove("/store.db");
  }
  FakeClock clock;
  Store store(*mount.duplicate(), clock);
  REQUIRE(store.commit({.puts = {{"k", "v"}}}));
  CHECK_FALSE(fs::exists("/store.db"));
  struct stat st{};
  CHECK(::fstatat(mount.get(), "store.db", &st, 0) == 0);
  CHECK(::fstatat(mount.get(), "store.db-wal", &st, 0) == 0);
}

TEST_CASE("the VFS refuses every name but the store's own") {
  std::string vfs = *dirfd_vfs();
  TemporaryDir own;
  const std::string& directory = own.path();
  UniqueFd fd = open_directory(directory);
  std::string base = "/proc/self/fd/" + std::to_string(fd.get());
  for (const std::string& name :
       {directory + "/store.db", base + "/other.db", base + "/../store.db", base + "/sub/store.db",
        std::string("/proc/self/fd/x/store.db"), std::string("store.db")}) {
    sqlite3* db = nullptr;
    sqlite3_open_v2(name.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs.c_str());
    CHECK(sqlite3_exec(db, "CREATE TABLE t(x)", nullptr, nullptr, nullptr) != SQLITE_OK);
    sqlite3_close(db);
  }
  sqlite3_vfs* table = sqlite3_vfs_find(vfs.c_str());
  write_file(directory + "/precious", "x");
  CHECK(table->xDelete(table, (directory + "/precious").c_str(), 0) != SQLITE_OK);
  CHECK(fs::exists(directory + "/precious"));
  CHECK(fs::is_empty(directory) == false);
}

TEST_CASE("a symbolic link in the store's place is not followed") {
  Fixture f;
  std::string outside = f.directory + "-outside";
  fs::create_symlink(outside, f.file());
  CHECK_FALSE(f.put("k", "v").has_value());
  CHECK_FALSE(fs::exists(outside));
}

TEST_CASE("a full disk refuses, loses nothing, and goes on once there is room") {
  UniqueFd mount = detached_tmpfs("3m");
  REQUIRE(mount.valid());
  FakeClock clock;
  Store store(*mount.duplicate(), clock);
  REQUIRE(store.commit({.puts = {{"first", "kept"}}}));
  std::vector<std::uint64_t> versions;
  Code last{};
  for (int i = 0; i < 100 && last == Code{}; ++i) {
    auto done = store.commit({.puts = {{"k" + std::to_string(i), std::string(100'000, 'x')}}});
    if (done) versions.push_back(done->version);
    last = code_of(done);
  }
  CHECK(last == Code::kResourceExhausted);
  CHECK(versions.size() > 5);
  CHECK(store.get("first")->value == "kept");
  for (std::size_t i = 0; i < versions.size(); ++i) {
    CHECK(store.get("k" + std::to_string(i))->version == versions[i]);
  }
  CHECK(code_of(store.get("k" + std::to_string(versions.size()))) == Code::kNotFound);
  // Deleting makes room, though it has to be written down first.
  for (std::size_t i = 0; i < versions.size(); ++i) {
    CHECK(store.commit({.deletes = {"k" + std::to_string(i)}}).has_value());
  }
  CHECK(store.commit({.puts = {{"again", std::string(100'000, 'y')}}}).has_value());
}

TEST_CASE("a damaged file is data loss, wherever it was hit, and never a crash") {
  Fixture f;
  for (int i = 0; i < 200; ++i) f.put("key" + std::to_string(i), std::string(300, 'v'));
  f.store.reset();
  const std::string good = read_file(f.file());
  REQUIRE(good.size() > 16 * 4096);
  int lost = 0;
  for (std::size_t at = 0; at + 64 < good.size(); at += 509) {
    std::string bad = good;
    for (std::size_t i = 0; i < 64; ++i) bad[at + i] = static_cast<char>(at * 31 + i * 7 + 1);
    fs::remove(f.file() + "-wal");
    write_file(f.file(), bad);
    f.reopen();
    for (int i = 0; i < 200; i += 40) {
      Code code = code_of(f.store->get("key" + std::to_string(i)));
      bool expected = code == Code{} || code == Code::kNotFound || code == Code::kDataLoss;
      CHECK(expected);
      lost += code == Code::kDataLoss;
    }
    Code listed = code_of(f.store->list({.page_size = 1000}));
    bool listed_as_expected = listed == Code{} || listed == Code::kDataLoss;
    CHECK(listed_as_expected);
    Code put = code_of(f.put("new", std::string(5000, 'n')));
    bool put_as_expected = put == Code{} || put == Code::kDataLoss;
    CHECK(put_as_expected);
    lost += listed == Code::kDataLoss;
  }
  CHECK(lost > 0);
}

TEST_CASE("files that are no store, or a store of somebody else's making, are data loss") {
  Fixture f;
  f.store.reset();
  SECTION("garbage") { write_file(f.file(), std::string(10'000, 'g')); }
  SECTION("truncated") {
    f.reopen();
    f.put("k", std::string(100'000, 'v'));
    f.store.reset();
    fs::resize_file(f.file(), fs::file_size(f.file()) / 2);
    f.reopen();
    CHECK(code_of(f.store->get("k")) == Code::kDataLoss);
    return;
  }
  SECTION("another schema, with a trigger") {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(f.file().c_str(), &db) == SQLITE_OK);
    const char* sql =
        "CREATE TABLE entries(key BLOB PRIMARY KEY, version INTEGER, value BLOB);"
        "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END;";
    REQUIRE(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
  }
  f.reopen();
  CHECK(code_of(f.store->get("k")) == Code::kDataLoss);
  CHECK(code_of(f.put("k", "v")) == Code::kDataLoss);
}

TEST_CASE("a version that cannot rise, or is none, is data loss") {
  Fixture f;
  f.put("k", "v");
  f.store.reset();
  auto tamper = [&f](const char* sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(f.file().c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
    f.reopen();
  };
  tamper("UPDATE state SET version = 9223372036854775807");
  CHECK(code_of(f.put("k", "v")) == Code::kDataLoss);
  f.store.reset();
  tamper("UPDATE entries SET version = -1");
  CHECK(code_of(f.store->get("k")) == Code::kDataLoss);
}

TEST_CASE("deleted keys give their room back to the disk") {
  Fixture f;
  for (int i = 0; i < 20; ++i) f.put("k" + std::to_string(i), std::string(kMaxValueBytes, 'v'));
  f.reopen();
  f.store->get("k0");
  auto before = fs::file_size(f.file());
  for (int i = 0; i < 20; ++i) f.store->commit({.deletes = {"k" + std::to_string(i)}});
  f.store.reset();
  CHECK(fs::file_size(f.file()) < before / 2);
}

TEST_CASE("an agent that stores nothing has no file, and a closed store answers so") {
  Fixture f;
  CHECK(fs::is_empty(f.directory));
  f.store->close();
  CHECK(code_of(f.store->get("k")) == Code::kUnavailable);
  CHECK(fs::is_empty(f.directory));
}

TEST_CASE("a queue runs an agent's operations in order, and holds back for replies not taken") {
  Fixture f;
  SerialExecutor executor(2, "store");
  auto queue = StoreQueue::create(std::move(f.store), executor.make_strand());
  std::vector<int> order;
  std::latch first(3);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(queue->submit([&, i](Store&) {
      order.push_back(i);
      if (i == 2) queue->hold(StoreQueue::kMaxUnsent + 1);
      first.count_down();
    }));
  }
  first.wait();
  CHECK(order == std::vector{0, 1, 2});

  std::atomic<bool> ran{false};
  std::latch done(1);
  auto held_back = queue->submit([&](Store&) { ran = true; });
  auto after = queue->submit([&](Store&) { done.count_down(); });
  REQUIRE(after);
  queue->cancel(*held_back);
  CHECK_FALSE(ran);
  queue->release(StoreQueue::kMaxUnsent + 1);
  done.wait();
  CHECK_FALSE(ran);

  queue->hold(StoreQueue::kMaxUnsent + 1);
  std::size_t accepted = 0;
  while (accepted < 1000 && queue->submit([](Store&) {})) ++accepted;
  CHECK(accepted == StoreQueue::kMaxWaiting);
  std::latch closed(1);
  queue->close([&] { closed.count_down(); });
  closed.wait();
  CHECK(code_of(queue->submit([](Store&) {})) == Code::kUnavailable);
}

}  // namespace flodea::storage
