// The real Effects: flodead over the root protocol, each worker over its attach socket, the vault
// for log keys, the gateway for agents' calls, the log store for what they print. Keeps one
// HostInstance per instance that flodead has. Core thread only, but for the completions of gateway
// and log store, which it posts there. The order at an end: the log drained, the store closed, then
// Release; only then may flodead take the volume away.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <utility>

#include "base/event_loop.h"
#include "supervisor/control/agents/gateway.h"
#include "supervisor/control/attach/worker_link.h"
#include "supervisor/control/lifecycle/effects.h"
#include "supervisor/control/lifecycle/meters.h"
#include "supervisor/control/monitoring/log_store.h"
#include "supervisor/control/vault_client/vault_client.h"

namespace flodea::control {

using InstanceKey = std::pair<AgentId, Generation>;

// Wired by main; all outlive the effects.
struct HostParts {
  EventLoop& loop;
  const Clock& clock;
  VaultClient& vault;
  Gateway& gateway;
  LogStore& logs;
  std::function<void(std::function<void()>)> disk;  // runs it on a thread that may wait, in order
  Meters& meters;
  int pressure = -1;   // PSI of memory; -1: this kernel has none
  int state_dir = -1;  // O_PATH, for its free space
  std::function<std::string(const AgentManifest&)> spec_json;  // for Self/Describe
  // The layers of an agent, found or made; may answer at once.
  std::function<void(const AgentSpec&, std::function<void(Result<std::vector<BundleDigest>>)>)>
      layers;
  std::function<void(const Error&)> root_lost;  // flodead is gone: this control ends
  std::shared_ptr<CallMarks> marks = {};        // none: a crash leaves no trace
};

struct HostInstance;

class HostEffects final : public Effects, private RootEvents {
 public:
  static Result<std::unique_ptr<HostEffects>> create(HostParts parts, UniqueFd root_socket,
                                                     EffectEvents& events);
  ~HostEffects() override;

  // The handshake; before anything else.
  void hello(Callback<HostFacts> done);
  // The guard has closed this agent's connection: its worker gets a fresh one, soon.
  void reconnect(const AgentId& agent);

  // For what is made for agents; on the core thread.
  void run_job(const JobRequest& request, Callback<EndedJob> done);
  void reload(Callback<void> done);  // flodead, and with it this process: hears of a refusal only
  void prepare(const AgentSpec& spec, Callback<void> done) override;
  void start(StartOrder order) override;
  void adopt(StartOrder order, const ListedInstance& instance) override;
  void cancel(const AgentId& agent, Generation generation) override;
  void stop(const AgentId& agent, Generation generation, Nanos grace,
            const std::string& reason) override;
  void kill(const AgentId& agent, Generation generation, const std::string& reason) override;
  void release(const AgentId& agent, Generation generation) override;
  void destroy(const AgentId& agent, bool keep_volume, Callback<RemovalReceipt> done) override;
  void open_logs(const AgentId& agent, const AgentManifest& manifest) override;
  void inventory(Callback<std::vector<ListedInstance>> done) override;
  void wake_at(const AgentId& agent, std::optional<Nanos> monotonic) override;
  std::optional<AgentUsage> usage(const AgentId& agent) override;
  std::uint64_t disk_free() override;
  void freeze(const AgentId& agent, Generation generation, bool frozen) override;
  std::optional<double> memory_pressure() override;
  void call_after(Nanos delay, std::function<void()> task) override;

 private:
  struct LogOpening {
    LogPolicy policy;
    std::uint64_t rate = 0;
    bool open = false;
    bool asking = false;
    Nanos retry{};  // the last pause before asking again
  };

  HostEffects(HostParts parts, EffectEvents& events);
  using Key = InstanceKey;
  HostInstance* find(const Key& key);
  HostInstance& place(StartOrder order);
  HostInstance* present(const AgentId& agent);

  // host_start.cc
  void send_start(const Key& key);
  void send_start_on(const Key& key, std::vector<BundleDigest> layers);
  void started(const Key& key, Result<StartedInstance> reply, bool adopted);
  void fail_start(const Key& key, Ending ending);
  Status wire(HostInstance& instance, StartedInstance reply);
  void ask_log_key(const AgentId& agent);
  void got_log_key(const AgentId& agent, Result<LogKey> key);
  void log_opened(const AgentId& agent, const LogPolicy& policy, std::uint64_t rate,
                  const Status& opened);
  void remove_log(const AgentId& agent, RemovalReceipt receipt, Callback<RemovalReceipt> done);
  void attach_log(HostInstance& instance);

  // host_release.cc
  void give_up_use(const Key& key);
  void part_done(const Key& key);
  void send_release(const Key& key);
  void release_answered(const Key& key, Result<std::vector<std::string>> leftovers);
  void kill_then_release(const Key& key);
  void retry_release(const Key& key, const Error& why);

  // RootEvents
  void on_instance_exited(const InstanceExit& exit) override;
  void on_service_changed(const ServiceChange& change) override;
  void on_shutdown_requested() override;
  void on_root_lost(const Error& why) override;

  HostParts parts_;
  EffectEvents& events_;
  Epoch epoch_;
  std::unique_ptr<RootClient> root_;
  std::map<Key, std::unique_ptr<HostInstance>> instances_;
  std::map<AgentId, LogOpening> logs_;
  std::map<AgentId, EventLoop::TimerId> wakes_;
};

}  // namespace flodea::control
