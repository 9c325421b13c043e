// The lifecycle engine: keeps each agent as its operators want it. It stores desired states and
// every change (state.db) before it acts or answers, asks the state machine (machine.h) what
// follows from what was seen, and has it done (effects.h). Threads: the methods of Lifecycle,
// `agent_ready`, `agent_limit` and `name_of` may be called on any thread (they post to the core
// one); all else belongs to the core thread. Callbacks run there too. Agents survive this object:
// the next one finds them by state.db and flodead's inventory (`recover`).
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "supervisor/control/lifecycle/agent_names.h"
#include "supervisor/control/lifecycle/effects.h"
#include "supervisor/control/lifecycle/lifecycle.h"
#include "supervisor/control/lifecycle/pressure.h"
#include "supervisor/control/lifecycle/start_queue.h"
#include "supervisor/control/monitoring/event_log.h"
#include "supervisor/control/monitoring/metrics.h"
#include "supervisor/control/state/state_db.h"

namespace flodea::control {

struct EngineParts {
  StateDb db;
  const Clock& clock;
  EventLog& events;
  std::function<void(std::function<void()>)> post;     // to the core thread, from any
  std::function<Status(const AgentSpec&)> check_spec;  // runtime and bundle (runtimes/runtime.h)
  std::function<double()> random;                      // uniform in [0, 1)
  std::function<void()> closed;                        // after `close`: no instance is left
  // At whose messages the control before was when it crashed, and at how many crashes in a row
  // (docs/guard.md); nothing: it did not crash.
  std::optional<CrashCounts> crashes = {};
  std::function<AgentId()> new_id = AgentId::random;
};

// An fsync on the path of a start would cost more than the start may (docs/lifecycle.md). So only
// each generation that is a multiple of this is fsynced before it is used; after the death of the
// host, which may take back what came since, an agent goes on at the next multiple.
inline constexpr std::uint64_t kGenerationsPerSync = 64;
// How old the usage in a list of all agents may be: however many ask (`ps`, scrapes of metrics),
// each agent's cgroup is read once in this time.
inline constexpr Nanos kUsageAge = std::chrono::seconds(1);

class Engine final : public Lifecycle, public EffectEvents {
 public:
  explicit Engine(EngineParts parts);
  ~Engine() override;

  // First of all: loads state.db and the inventory, adopts what runs, releases what ended, starts
  // what should run. `done` hears whether the state could be read; operators' requests wait until
  // then. `effects` and `metrics` outlive the engine's last turn.
  void recover(Effects& effects, Metrics& metrics, HostFacts host,
               std::function<void(Status)> done);
  // Stops every agent gracefully; their desired states stay. `closed` is called once none is left.
  void close();
  // Ends the waits that are left, with kUnavailable.
  void end_waits();

  // Lifecycle
  void apply(AgentManifest manifest, ApplyOptions options, Callback<ApplyOutcome> done) override;
  void plan(std::vector<AgentManifest> manifests,
            Callback<std::vector<ApplyOutcome>> done) override;
  void await(std::string name, std::uint64_t revision, Asked asked,
             Callback<AgentView> done) override;
  void rollback(RollbackOrder order, Asked asked, Callback<ApplyOutcome> done) override;
  void start(std::string name, Asked asked, Callback<AgentView> done) override;
  void stop(std::string name, Asked asked, Callback<AgentView> done) override;
  void restart(std::string name, Asked asked, Callback<AgentView> done) override;
  void remove(std::string name, bool keep_data, std::string by,
              Callback<RemovalReceipt> done) override;
  void get(std::string name, Callback<AgentView> done) override;
  void look(std::vector<std::string> names, Callback<std::vector<AgentView>> done) override;
  void revisions(std::string name, Callback<std::vector<RevisionView>> done) override;
  void list(Callback<std::vector<AgentView>> done) override;
  void node(Callback<NodeStatus> done) override;

  void agent_ready(const AgentId& agent, Generation generation);  // Self/Ready
  void agent_limit(const AgentId& agent,
                   const std::string& message);  // it ran into a limit: an event
  // A call of it has ended. On any thread, and cheap: on the way of every call.
  void agent_answered(const AgentId& agent);
  std::string name_of(const AgentId& agent) const {
    return directory_.of(agent);
  }  // empty: unknown
  // Those of all agents, and those that a rollback may need (StateDb::kBundlesKept). Core thread;
  // nothing before `recover` is done.
  Result<std::set<BundleDigest>> bundles_in_use();

  // EffectEvents
  void on_volume_made(const AgentId& agent) override;
  void on_present(const AgentId& agent, Generation generation, const Presented& found) override;
  void on_executed(const AgentId& agent, Generation generation, Nanos monotonic,
                   std::vector<PhaseTime> phases) override;
  void on_ready(const AgentId& agent, Generation generation) override;
  void on_ended(const AgentId& agent, Generation generation, const Ending& ending) override;
  void on_released(const AgentId& agent, Generation generation) override;
  void on_release_failed(const AgentId& agent, Generation generation, const Error& why) override;
  void on_health(const AgentId& agent, Generation generation, const HealthReport& report) override;
  void on_health_unjudged(const AgentId& agent, Generation generation,
                          const std::string& why) override;
  void on_wake(const AgentId& agent) override;
  void on_denied(const AgentId& agent, Generation generation, const std::string& calls) override;
  void on_service(const ServiceChange& change) override;
  void on_shutdown_requested() override;

 private:
  struct Agent;
  struct Wait;
  struct Applying;
  struct Planned;
  enum class Until { kRuns, kProven, kStops };  // what an operator waits for
  using Change = std::function<void(StoredAgent&)>;

  // engine.cc: stepping
  void settle(Agent& agent);
  void turn(Agent& agent, bool& moved);
  bool keep(Agent& agent, const Record& next);
  bool save(Agent& agent, const StoredAgent& state, Durability durability);
  void perform(Agent& agent, const Action& action);
  void announce(const Agent& agent, AgentState from);
  void after_settling(Agent& agent);
  void finish_waits(Agent& agent);
  void destroy_if_due(Agent& agent);
  void destroyed(const AgentId& id, Result<RemovalReceipt> receipt);
  void destroy_later(Agent& agent, const Error& why);
  void forget(AgentId id, const RemovalReceipt& receipt);
  Desired desired_of(const Agent& agent) const;
  AgentView view_of(const Agent& agent) const;
  void add_usage(Agent& agent, Nanos at_most, AgentView& view);
  Agent* find(const AgentId& id);
  Agent* find(const std::string& name);
  Agent* listening(const AgentId& id, Generation generation);

  // engine_queue.cc
  bool waits_to_start(const Agent& agent) const;
  HostShare share_in_use() const;
  std::vector<AwaitedAgent> awaited_by(const Agent& agent);
  std::vector<Agent*> by_precedence();
  void review_waiting();
  void tell_held(Agent& agent, const Held& held);
  void note_waiting(Agent& agent);

  // engine_shutdown.cc
  void check_closed();
  bool is_needed(const Agent& agent) const;
  static bool is_gone(const Agent& agent);
  void stopped_for_shutdown(const Agent& agent);

  // engine_pressure.cc
  void watch_pressure();
  void look_at_pressure();
  void thaw_all();
  Freezable freezable(Agent& agent);
  void set_frozen(Agent& agent, bool frozen, const std::string& why);

  // engine_revisions.cc
  void prove(Agent& agent);
  void put_back(Agent& agent);
  void remember_fallback(Agent& agent);

  // engine_quarantine.cc
  void judge_crashes();
  bool quarantine(Agent& agent);
  Nanos alone_after(const AgentId& agent);

  // engine_recovery.cc
  void take_inventory(Result<std::vector<ListedInstance>> instances,
                      const std::function<void(Status)>& done);
  void take_instance(const ListedInstance& instance);
  Resources resources_of_instance(const StoredAgent& stored);
  void begin(const StoredAgent& stored);
  void open_for_requests();

  // engine_verbs.cc
  void when_open(std::function<void()> request);
  void enqueue(std::shared_ptr<Applying> applying);
  void apply_next(const std::string& name);
  void apply_prepared(const std::shared_ptr<Applying>& applying, Status prepared);
  void apply_now(Applying& applying, const Callback<ApplyOutcome>& done);
  Result<ApplyOutcome::Kind> take_manifest(Applying& applying);
  Result<ApplyOutcome::Kind> create_agent(Applying& applying);
  Result<ApplyOutcome::Kind> change_agent(Agent& agent, Applying& applying);
  Status change_desired(Agent& agent, const std::string& by, const Change& change);
  static tl::unexpected<Error> being_removed(const std::string& name);
  static Error replaced(const Agent& agent, std::uint64_t revision);
  Result<Agent*> agent_for(const std::string& name);
  void verb(const std::string& name, const Asked& asked, bool up, const Change& change,
            const Callback<AgentView>& done);
  void wait_for(Agent& agent, Wait wait);
  static std::optional<Error> disappointment(const Agent& agent, const Wait& wait);
  void remove_now(const std::string& name, bool keep_data, const std::string& by,
                  const Callback<RemovalReceipt>& done);
  NodeStatus node_status();

  // engine_plan.cc
  Status check_apply(const AgentManifest& manifest, Planned& planned);
  Status check_apply(const AgentManifest& manifest);
  Status check_after(const AgentManifest& manifest, Planned& planned);
  Status check_after(const AgentManifest& manifest);
  std::vector<std::string> ring_of(const AgentManifest& manifest, Planned& planned);
  Status check_host(const AgentSpec& spec, std::optional<std::uint64_t> volume_bytes,
                    Planned& planned);
  Result<std::optional<std::uint64_t>> kept_volume_bytes(const std::string& name);
  Result<std::vector<ApplyOutcome>> plan_now(const std::vector<AgentManifest>& manifests);
  Result<ApplyOutcome> preview(const AgentManifest& manifest, Planned& planned);

  // engine_rollback.cc
  Result<StoredRevision> revision_for(const RollbackOrder& order);
  Result<std::vector<RevisionView>> revisions_of(const std::string& name);

  EngineParts parts_;
  Effects* effects_ = nullptr;
  Metrics* metrics_ = nullptr;
  HostFacts host_;
  Nanos started_{};  // wall
  bool open_for_requests_ = false;
  bool closing_ = false;
  bool closed_told_ = false;
  std::vector<std::function<void()>> held_back_;  // requests before the recovery is done
  std::map<std::string, std::deque<std::shared_ptr<Applying>>>
      applying_;  // by name, in order: the first is being prepared
  std::map<AgentId, std::unique_ptr<Agent>> agents_;
  std::map<std::string, AgentId> names_;
  std::set<AgentId> waiting_;  // to be started
  std::set<AgentId> tied_;     // any of them may have done it: adopted one by one
  int adopted_alone_ = 0;
  std::atomic<int> frozen_agents_ = 0;  // written by the core thread
  bool watching_pressure_ = false;
  bool reviewing_ = false;
  bool review_again_ = false;
  AgentNames directory_;
  std::map<std::string, ServiceStatus> services_;
};

}  // namespace flodea::control
