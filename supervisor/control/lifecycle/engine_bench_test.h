// An engine on a real state.db with everything else faked: for its tests. One thread.
#pragma once

#include <spdlog/spdlog.h>
#include <sqlite3.h>

#include <filesystem>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/lifecycle/testing/fakes.h"
#include "tests/support/fake_clock.h"

namespace flodea::control::testing {

using Orders = std::vector<std::string>;

struct ScratchDirectory {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("flodea-engine-" + AgentId::random().text());
  ScratchDirectory() { std::filesystem::create_directory(path); }
  ~ScratchDirectory() { std::filesystem::remove_all(path); }
};

// `reborn` is what a kill -9 of control and its next start are.
class EngineBench {
 public:
  ScratchDirectory dir;
  FakeClock clock;
  RecordingEvents events;
  CountingMetrics metrics;
  FakeEffects effects;
  HostFacts host = small_host();
  std::vector<std::function<void()>> posted;
  std::unique_ptr<Engine> engine;
  int closed = 0;
  std::set<BundleDigest> gone;                // bundles that are not stored
  std::optional<std::set<AgentId>> suspects;  // the life before the next one crashed at them

  EngineBench() {
    spdlog::set_level(spdlog::level::off);
    (void)reborn();
  }

  Status reborn(const std::function<void(Engine&)>& before_recovery = {}) {
    engine.reset();
    posted.clear();
    auto db = StateDb::open(dir.path / "state.db");
    if (!db) return tl::unexpected(db.error());
    std::optional<CrashCounts> crashes;
    if (suspects) crashes = *db->count_crash(*suspects);
    engine = std::make_unique<Engine>(
        EngineParts{.db = std::move(*db),
                    .clock = clock,
                    .events = events,
                    .post = [this](auto task) { posted.push_back(std::move(task)); },
                    .check_spec = [this](const AgentSpec& spec) -> Status {
                      if (!gone.contains(spec.bundle)) return {};
                      return fail(Code::kNotFound, "no bundle " + spec.bundle.text());
                    },
                    .random = [] { return 0.5; },
                    .closed = [this] { ++closed; },
                    .crashes = crashes});
    if (before_recovery) before_recovery(*engine);
    Status outcome;
    engine->recover(effects, metrics, host, [&](Status status) { outcome = std::move(status); });
    run_posted();
    return outcome;
  }

  void run_posted() {
    while (!posted.empty()) {
      for (auto& task : std::exchange(posted, {})) task();
    }
  }

  // Time passes; whoever asked to be woken is.
  void pass(Nanos time) {
    clock.advance(time);
    for (const auto& [id, at] : std::map(effects.wakes)) {
      if (at <= clock.monotonic()) engine->on_wake(id);
    }
    run_posted();
  }

  // The state store refuses changes of a state, as on a full disk; or takes them again.
  void store_fails(bool fails) {
    auto db = sqlite::Database::open(dir.path / "state.db", SQLITE_OPEN_READWRITE);
    REQUIRE(db);
    REQUIRE(db->exec(fails ? "CREATE TRIGGER full BEFORE UPDATE ON agents BEGIN SELECT "
                             "RAISE(ABORT, 'disk is full'); END"
                           : "DROP TRIGGER full"));
  }

  static AgentManifest manifest(std::string name = "ledger") {
    AgentManifest out;
    out.name = std::move(name);
    out.spec.runtime = {
        .type = "python", .entrypoint = "main.py", .args = {}, .env = {}, .packages = ""};
    out.spec.bundle = *BundleDigest::from_hex(std::string(64, 'b'));
    return out;
  }

  Result<ApplyOutcome> apply(AgentManifest m, bool start = true) {
    Result<ApplyOutcome> out = fail(Code::kUnknown, "no answer");
    engine->apply(std::move(m), {.start = start, .by = "uid 7"},
                  [&](auto r) { out = std::move(r); });
    run_posted();
    return out;
  }
  Result<AgentView> view(const std::string& name = "ledger") {
    Result<AgentView> out = fail(Code::kUnknown, "no answer");
    engine->get(name, [&](auto r) { out = std::move(r); });
    run_posted();
    return out;
  }
  std::string state(const std::string& name = "ledger") {
    auto v = view(name);
    return v ? state_name(v->state) : std::string(v.error().message);
  }

  // What the world answers for the agent's current instance.
  void present(const std::string& name = "ledger") {
    on(name, [&](const AgentId& id, Generation g) {
      engine->on_present(id, g, {.uid_base = 70000, .executed = {}, .ready = false});
    });
  }
  void executed(const std::string& name = "ledger") {
    on(name, [&](const AgentId& id, Generation g) {
      engine->on_executed(id, g, clock.monotonic(), {{"exec", Nanos(1)}});
    });
  }
  void ended(Blame blame = Blame::kFailure, Reason reason = Reason::kExitCode,
             const std::string& name = "ledger") {
    on(name, [&](const AgentId& id, Generation g) {
      engine->on_ended(id, g,
                       {.blame = blame,
                        .reason = reason,
                        .message = blame == Blame::kSuccess ? "exit code 0" : "exit code 3",
                        .exit_code = blame == Blame::kSuccess ? 0 : 3});
    });
  }
  void released(const std::string& name = "ledger") {
    on(name, [&](const AgentId& id, Generation g) { engine->on_released(id, g); });
  }
  void running(const std::string& name = "ledger") {
    on(name, [&](const AgentId& id, Generation) { engine->on_volume_made(id); });
    present(name);
    executed(name);
  }

 private:
  void on(const std::string& name, const std::function<void(const AgentId&, Generation)>& event) {
    auto v = view(name);
    if (v) event(v->id, v->generation);
    run_posted();
  }
};

}  // namespace flodea::control::testing
