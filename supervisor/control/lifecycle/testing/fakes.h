// For tests of the engine: effects that only note what they are asked, and the small interfaces around it. One thread.
#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "supervisor/control/lifecycle/engine.h"
#include "tests/support/fake_clock.h"

namespace flodea::control::testing {

class RecordingEvents final : public EventLog {
 public:
  std::vector<Event> all;
  Status record(Event event) override { return all.push_back(std::move(event)), Status(); }
  Result<std::vector<Event>> query(const EventQuery&) const override { return all; }
  std::uint64_t subscribe(Subscriber) override { return 1; }
  void unsubscribe(std::uint64_t) override {}
};

class CountingMetrics final : public Metrics {
 public:
  int starts = 0, restarts = 0, forgotten = 0;
  void call_ended(const std::string&, const std::string&, const std::string&, Nanos) override {}
  void started(const std::string&, const std::vector<PhaseTime>&) override { ++starts; }
  void restarted(const std::string&) override { ++restarts; }
  void service_restarted(const std::string&) override {}
  void forget(const std::string&) override { ++forgotten; }
};

// Notes orders as words ("start 1", "stop 1 operator"); a test answers them through the engine's events.
class FakeEffects final : public Effects {
 public:
  std::vector<std::string> orders;
  std::vector<ListedInstance> instances;
  std::map<AgentId, Nanos> wakes;
  std::uint64_t free = 10ull << 30;
  bool destroy_fails = false;

  void start(StartOrder order) override { note("start " + number(order.generation) + (order.volume_made ? "" : " new")); }
  void adopt(StartOrder order, const ListedInstance&) override { note("adopt " + number(order.generation)); }
  void stop(const AgentId&, Generation g, Nanos, const std::string& why) override { note("stop " + number(g) + " " + why); }
  void kill(const AgentId&, Generation g, const std::string& why) override { note("kill " + number(g) + " " + why); }
  void release(const AgentId&, Generation g) override { note("release " + number(g)); }
  void destroy(const AgentId& id, bool keep, Callback<RemovalReceipt> done) override {
    note(keep ? "destroy logs" : "destroy all");
    if (destroy_fails) return done(fail(Code::kUnavailable, "the vault is away"));
    done(RemovalReceipt{.id = id, .key_digest = keep ? "" : "d1", .destroyed = std::chrono::seconds(1)});
  }
  void open_logs(const AgentId&, const AgentManifest&) override { note("logs"); }
  void inventory(Callback<std::vector<ListedInstance>> done) override { done(instances); }
  void wake_at(const AgentId& id, std::optional<Nanos> at) override {
    wakes.erase(id);
    if (at) wakes[id] = *at;
  }
  std::optional<AgentUsage> usage(const AgentId&) override { return AgentUsage{}; }
  std::uint64_t disk_free() override { return free; }

  std::vector<std::string> take() { return std::exchange(orders, {}); }

 private:
  static std::string number(Generation g) { return std::to_string(g.value); }
  void note(std::string order) { orders.push_back(std::move(order)); }
};

struct ScratchDirectory {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("flodea-engine-" + AgentId::random().text());
  ScratchDirectory() { std::filesystem::create_directory(path); }
  ~ScratchDirectory() { std::filesystem::remove_all(path); }
};

// An engine on a real state.db with everything else faked. `reborn` is what a kill -9 of control and its next start are.
class EngineBench {
 public:
  ScratchDirectory dir;
  FakeClock clock;
  RecordingEvents events;
  CountingMetrics metrics;
  FakeEffects effects;
  HostFacts host{.epoch = {1}, .boot_id = "boot", .cpus = 2, .memory_bytes = 1ull << 30, .runtimes = {{"python", "3.11.2"}}};
  std::vector<std::function<void()>> posted;
  std::unique_ptr<Engine> engine;
  int closed = 0;

  EngineBench() {
    spdlog::set_level(spdlog::level::off);
    (void)reborn();
  }

  Status reborn() {
    engine.reset();
    posted.clear();
    auto db = StateDb::open(dir.path / "state.db");
    if (!db) return tl::unexpected(db.error());
    engine = std::make_unique<Engine>(EngineParts{.db = std::move(*db), .clock = clock, .events = events,
                                                  .post = [this](auto task) { posted.push_back(std::move(task)); },
                                                  .check_spec = [](const AgentSpec&) { return Status(); },
                                                  .random = [] { return 0.5; },
                                                  .closed = [this] { ++closed; }});
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

  static AgentManifest manifest(std::string name = "ledger") {
    AgentManifest out;
    out.name = std::move(name);
    out.spec.runtime = {.type = "python", .entrypoint = "main.py", .args = {}, .env = {}};
    out.spec.bundle = *BundleDigest::from_hex(std::string(64, 'b'));
    return out;
  }

  Result<ApplyOutcome> apply(AgentManifest m, bool start = true) {
    Result<ApplyOutcome> out = fail(Code::kUnknown, "no answer");
    engine->apply(std::move(m), start, false, [&](auto r) { out = std::move(r); });
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
  void present() { on([&](const AgentId& id, Generation g) { engine->on_present(id, g, {.uid_base = 70000, .executed = {}, .ready = false}); }); }
  void executed() { on([&](const AgentId& id, Generation g) { engine->on_executed(id, g, clock.monotonic(), {{"exec", Nanos(1)}}); }); }
  void ended(Blame blame = Blame::kFailure, Reason reason = Reason::kExitCode) {
    on([&](const AgentId& id, Generation g) {
      engine->on_ended(id, g, {.blame = blame, .reason = reason, .message = "exit code 3", .exit_code = 3});
    });
  }
  void released() { on([&](const AgentId& id, Generation g) { engine->on_released(id, g); }); }
  void running() {
    on([&](const AgentId& id, Generation) { engine->on_volume_made(id); });
    present();
    executed();
  }

 private:
  void on(const std::function<void(const AgentId&, Generation)>& event) {
    auto v = view();
    if (v) event(v->id, v->generation);
    run_posted();
  }
};

}  // namespace flodea::control::testing
