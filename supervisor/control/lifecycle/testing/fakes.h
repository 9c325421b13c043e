// For tests of the engine: effects that only note what they are asked, and the small interfaces
// around it. One thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "supervisor/control/lifecycle/engine.h"

namespace flodea::control::testing {

inline HostFacts small_host() {
  return {.epoch = {1},
          .boot_id = "boot",
          .cpus = 2,
          .memory_bytes = 1ull << 30,
          .max_memory_bytes = 1ull << 30,
          .max_pids = 1000,
          .max_agents = 100,
          .limits = {"memory", "swap", "pids", "cpu"},
          .runtimes = {{"python", "3.11.2"}, {"javascript", "20.1.0"}, {"wasm", "48.0.8"}}};
}

class RecordingEvents final : public EventLog {
 public:
  std::vector<Event> all;
  std::map<std::string, std::map<std::string, std::string>> labels;
  std::function<void(const Event&)> on_record;
  Status record(Event event) override {
    if (on_record) on_record(event);
    return all.push_back(std::move(event)), Status();
  }
  Result<std::vector<Event>> query(const EventQuery&) const override { return all; }
  void set_labels(const std::string& agent, std::map<std::string, std::string> to) override {
    labels[agent] = std::move(to);
  }
  Bounds bounds() const override { return {.first = 1, .last = all.size()}; }
  std::uint64_t subscribe(Subscriber) override { return 1; }
  void unsubscribe(std::uint64_t) override {}
};

class CountingMetrics final : public Metrics {
 public:
  int starts = 0, restarts = 0, forgotten = 0, service_restarts = 0;
  void call_ended(const std::string&, const std::string&, const std::string&, Nanos) override {}
  void started(const std::string&, const std::vector<PhaseTime>&) override { ++starts; }
  void restarted(const std::string&) override { ++restarts; }
  void service_restarted(const std::string&) override { ++service_restarts; }
  void forget(const std::string&) override { ++forgotten; }
};

// Notes orders as words ("start 1", "stop 1 operator"); a test answers them through the engine's
// events.
class FakeEffects final : public Effects {
 public:
  std::vector<std::string> orders;
  std::vector<ListedInstance> instances;
  std::map<AgentId, Nanos> wakes;
  std::uint64_t free = 10ull << 30;
  bool destroy_fails = false;

  std::function<void(const AgentSpec&, Callback<void>)> preparing;  // none: at once
  void prepare(const AgentSpec& spec, Callback<void> done) override {
    preparing ? preparing(spec, std::move(done)) : done({});
  }
  void start(StartOrder order) override {
    note("start " + number(order.generation) + (order.volume_made ? "" : " new"));
  }
  std::vector<Nanos> adopted_after;
  void adopt(StartOrder order, const ListedInstance&) override {
    adopted_after.push_back(order.adopt_after);
    note("adopt " + number(order.generation));
  }
  void cancel(const AgentId&, Generation g) override { note("cancel " + number(g)); }
  void stop(const AgentId&, Generation g, Nanos, const std::string& why) override {
    note("stop " + number(g) + " " + why);
  }
  void kill(const AgentId&, Generation g, const std::string& why) override {
    note("kill " + number(g) + " " + why);
  }
  void release(const AgentId&, Generation g) override { note("release " + number(g)); }
  void destroy(const AgentId& id, bool keep, Callback<RemovalReceipt> done) override {
    note(keep ? "destroy logs" : "destroy all");
    if (destroy_fails) return done(fail(Code::kUnavailable, "the vault is away"));
    done(RemovalReceipt{
        .id = id, .key_digest = keep ? "" : "d1", .destroyed = std::chrono::seconds(1)});
  }
  void open_logs(const AgentId&, const AgentManifest&) override { note("logs"); }
  void inventory(Callback<std::vector<ListedInstance>> done) override { done(instances); }
  void wake_at(const AgentId& id, std::optional<Nanos> at) override {
    wakes.erase(id);
    if (at) wakes[id] = *at;
  }
  int usage_read = 0;
  std::optional<AgentUsage> usage(const AgentId&) override {
    ++usage_read;
    return AgentUsage{.cpu_nanos = cpu_nanos};
  }
  std::uint64_t disk_free() override { return free; }
  std::optional<double> pressure;
  std::vector<std::function<void()>> looks;
  std::uint64_t cpu_nanos = 0;  // of every agent
  void freeze(const AgentId&, Generation g, bool frozen) override {
    note((frozen ? "freeze " : "thaw ") + number(g));
  }
  std::optional<double> memory_pressure() override { return pressure; }
  void call_after(Nanos, std::function<void()> task) override { looks.push_back(std::move(task)); }

  std::vector<std::string> take() { return std::exchange(orders, {}); }

 private:
  static std::string number(Generation g) { return std::to_string(g.value); }
  void note(std::string order) { orders.push_back(std::move(order)); }
};

}  // namespace flodea::control::testing
