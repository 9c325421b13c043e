#include "supervisor/control/state/state_db.h"

#include <sqlite3.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/state/manifest_codec.h"
#include "supervisor/control/state/state_schema.h"

using namespace flodea;
using namespace flodea::control;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct Directory {
  fs::path path = fs::temp_directory_path() / ("flodea-state-" + AgentId::random().text());
  Directory() { fs::create_directory(path); }
  ~Directory() { fs::remove_all(path); }
  std::string db() const { return path / "state.db"; }
};

AgentManifest manifest(const std::string& name) {
  AgentManifest out{.name = name, .labels = {{"team", "treasury"}}, .spec = {}};
  out.spec.runtime = {.type = "python",
                      .entrypoint = "main.py",
                      .args = {"a", ""},
                      .env = {{"LOG", "debug"}},
                      .packages = "r.lock"};
  out.spec.bundle = *BundleDigest::from_hex(std::string(64, 'a'));
  out.spec.resources.memory_bytes = 64 * kMiB + 1;
  out.spec.restart = {.policy = RestartPolicy::kNever,
                      .max_retries = Restart::kNoEnd,
                      .initial = 1234567ns,
                      .max = 1h,
                      .reset_after = 2min};
  out.spec.stop_timeout = 0ns;
  out.spec.logs = {.keep_bytes = 3, .drop_when_full = true};
  out.spec.readiness = {
      .self = true,
      .timeout = 7s,
      .probe = ExecProbe{.command = {"a", ""}, .every = 1s, .timeout = 2s, .failures = 3}};
  out.spec.liveness = {
      .probe = ExecProbe{.command = {"b"}, .every = 4s, .timeout = 5ns, .failures = 6}, .beat = 7s};
  out.spec.startup = ExecProbe{.command = {"c"}, .every = 8s, .timeout = 9s, .failures = 10};
  return out;
}

StoredAgent agent(const std::string& name) {
  StoredAgent out;
  out.id = AgentId::random();
  out.manifest = manifest(name);
  out.created = 5s;
  out.record = {.state = AgentState::kStopping,
                .reason = Reason::kOom,
                .message = "killed",
                .generation = {7},
                .incarnation = 3,
                .in_a_row = 2,
                .failures = 1,
                .restarts = 9,
                .stop_cause = StopCause::kReplace,
                .stop_told = false,
                .after = AgentState::kPending,
                .exit_code = 137,
                .due = {}};
  out.incarnation = 4;
  out.boot_id = "boot";
  return out;
}

StateDb open(const Directory& dir) {
  auto db = StateDb::open(dir.db());
  INFO((db ? "" : db.error().describe()));
  REQUIRE(db);
  return std::move(*db);
}

}  // namespace

TEST_CASE("a manifest is stored exactly") {
  AgentManifest before = manifest("ledger");
  auto after = restore_manifest(store_manifest(before));
  REQUIRE(after);
  CHECK(*after == before);
}

TEST_CASE("what is missing in a stored manifest has its default, what is unknown is ignored") {
  auto read = restore_manifest(R"({"name":"x","spec":{"resources":{"pids":3,"gpus":4}}})");
  REQUIRE(read);
  CHECK(read->spec.resources.pids == 3);
  CHECK(read->spec.restart == Restart{});
  CHECK(restore_manifest(R"({"name":7})").error().code == Code::kDataLoss);
  CHECK(restore_manifest("{").error().code == Code::kDataLoss);
}

TEST_CASE("agents are there again after the file was closed, whole") {
  Directory dir;
  StoredAgent a = agent("ledger");
  {
    StateDb db = open(dir);
    REQUIRE(db.save(a, Durability::kDurable));
    a.record.state = AgentState::kBackoff;
    a.record.after.reset();
    a.record.exit_code.reset();
    a.next_start = 77s;
    a.volume_made = true;
    REQUIRE(db.save_state(a, Durability::kFast));
  }
  StateDb db = open(dir);
  auto loaded = db.load();
  REQUIRE(loaded);
  REQUIRE(loaded->size() == 1);
  const StoredAgent& b = loaded->front();
  CHECK(b.id == a.id);
  CHECK(b.manifest == a.manifest);
  CHECK(b.record == a.record);
  CHECK(b.incarnation == 4);
  CHECK(b.next_start == 77s);
  CHECK(b.volume_made);
  CHECK(b.boot_id == "boot");
}

TEST_CASE("revisions are bounded, and the newest one counts") {
  Directory dir;
  StateDb db = open(dir);
  StoredAgent a = agent("ledger");
  for (; a.revision <= StateDb::kRevisionsKept + 20; ++a.revision) {
    a.manifest.spec.resources.pids = static_cast<std::uint32_t>(a.revision);
    REQUIRE(db.save(a, Durability::kFast));
  }
  CHECK(db.load()->front().manifest.spec.resources.pids == StateDb::kRevisionsKept + 20);
}

TEST_CASE("a kept volume stands under its agent's name until that agent is removed again") {
  Directory dir;
  StateDb db = open(dir);
  StoredAgent a = agent("ledger");
  REQUIRE(db.save(a, Durability::kDurable));
  REQUIRE(db.remove(a, KeptVolume{.id = a.id, .disk_bytes = 5, .generation = {7}}));
  CHECK(db.load()->empty());
  auto kept = db.kept_volume("ledger");
  REQUIRE(kept);
  REQUIRE(kept->has_value());
  CHECK((*kept)->id == a.id);
  CHECK((*kept)->generation.value == 7);
  REQUIRE(db.remove(a, std::nullopt));
  CHECK_FALSE(db.kept_volume("ledger")->has_value());
}

TEST_CASE("a file that is no usable state.db is refused, naming it and what to do") {
  Directory dir;
  {
    StateDb db = open(dir);
    for (int i = 0; i < 200; ++i)
      REQUIRE(db.save(agent("a" + std::to_string(i)), Durability::kFast));
  }
  auto refused = [&] {
    auto db = StateDb::open(dir.db());
    if (!db) return db.error();
    auto loaded = db->load();
    REQUIRE_FALSE(loaded);
    return loaded.error();
  };
  std::string remedy = "backup";
  SECTION("truncated in the middle") { fs::resize_file(dir.db(), fs::file_size(dir.db()) / 2); }
  SECTION("truncated inside its first page") { fs::resize_file(dir.db(), 1000); }
  SECTION("truncated to nothing, while agents' logs are there") {
    fs::resize_file(dir.db(), 0);
    fs::create_directories(dir.path / "logs" / "x");
  }
  SECTION("no database at all") {
    std::ofstream(dir.db(), std::ios::trunc) << "this is a text file, and has been one for long\n";
  }
  SECTION("of another program") {
    fs::remove(dir.db());
    auto db = sqlite::Database::open(dir.db(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    REQUIRE(db->exec("CREATE TABLE notes (x); PRAGMA user_version=1"));
  }
  SECTION("of a later version") {
    auto db = sqlite::Database::open(dir.db(), SQLITE_OPEN_READWRITE);
    REQUIRE(db->exec("PRAGMA user_version=99"));
    remedy = "install that version again";
  }
  Error error = refused();
  CHECK(error.code == Code::kDataLoss);
  CHECK(error.message.find(dir.db()) != std::string::npos);
  CHECK(error.remedy.find(remedy) != std::string::npos);
  // What looks without changing anything finds the same, as far as the file's first page says it.
  auto looked = check_state_file(dir.db());
  if (!looked) CHECK((looked.error().code == error.code && looked.error().remedy == error.remedy));
  if (remedy != "backup") CHECK_FALSE(looked);
}

TEST_CASE("the tables of the event log beside ours are no reason to refuse the file") {
  Directory dir;
  {
    open(dir);
  }
  {
    auto db = sqlite::Database::open(dir.db(), SQLITE_OPEN_READWRITE);
    REQUIRE(db->exec("CREATE TABLE events (id INTEGER PRIMARY KEY)"));
  }
  open(dir);
}

TEST_CASE("at how many crashes in a row an agent was there is counted over all who open the file") {
  Directory d;
  AgentId a = AgentId::random();
  AgentId b = AgentId::random();
  CHECK(StateDb::open(d.db())->count_crash({a, b}) == CrashCounts{{a, 1}, {b, 1}});
  CHECK(StateDb::open(d.db())->count_crash({b}) == CrashCounts{{b, 2}});
  CHECK(StateDb::open(d.db())->count_crash({a, b}) == CrashCounts{{a, 1}, {b, 3}});
  CHECK(StateDb::open(d.db())->count_crash({}).value().empty());
  CHECK(StateDb::open(d.db())->count_crash({b}) == CrashCounts{{b, 1}});
  REQUIRE(StateDb::open(d.db())->forget_crashes());
  CHECK(StateDb::open(d.db())->count_crash({b}) == CrashCounts{{b, 1}});
}

TEST_CASE("a file of the first schema is brought to this one") {
  Directory d;
  AgentManifest old = manifest("ledger");
  {
    auto db = sqlite::Database::open(d.db(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    REQUIRE(db);
    REQUIRE(db->exec(R"(
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
      INSERT INTO agents VALUES ('00000000000000000000000000000001', 'ledger', 4, 1, 1, 2, 0, 1, 3, 7, '', 9, 2, 0, 0, 0, 0, NULL, NULL, 1, 0, 'b');
      PRAGMA application_id=1179406148; PRAGMA user_version=1)"));
    auto insert =
        db->prepare("INSERT INTO revisions VALUES ('00000000000000000000000000000001', 4, ?1)");
    REQUIRE(insert);
    REQUIRE(insert->bind(1, store_manifest(old)).run());
  }
  auto db = StateDb::open(d.db());
  REQUIRE(db);
  auto agents = db->load();
  REQUIRE(agents);
  REQUIRE(agents->size() == 1);
  const StoredAgent& agent = agents->front();
  CHECK((agent.manifest == old && agent.revision == 4 && agent.observed_revision == 4));
  CHECK(db->kept_bundles()->contains(old.spec.bundle));
  auto revisions = db->revisions(agent.id);
  REQUIRE(revisions);
  REQUIRE(revisions->size() == 1);
  CHECK((revisions->front().author.empty() && revisions->front().created == 0ns));
  CHECK(StateDb::open(d.db()));
}
