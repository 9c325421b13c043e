#include "supervisor/control/lifecycle/testing/engine_life.h"

namespace flodea::control::testing {
namespace {

using namespace std::chrono_literals;

constexpr int kRounds =
    400;  // of a second: the longest backoff, and what follows it, several times

Status nothing_wrong(const AgentSpec&) { return {}; }

}  // namespace

EngineLife::EngineLife(const std::filesystem::path& directory) : directory_(directory) {
  facts_ = small_host();
  facts_.cpus = 1;
  facts_.boot_id = "boot 0";
  events_.on_record = [this](const Event& event) { on_event(event); };
  be_born();
}

EngineLife::~EngineLife() { engine_.reset(); }

std::string EngineLife::tell(const Story& story) {
  for (const StoryStep& step : story) {
    take(step);
    if (!world_.violation.empty()) return world_.violation;
  }
  std::string unmet = come_to_rest();
  return world_.violation.empty() ? unmet : world_.violation;
}

void EngineLife::take(const StoryStep& step) {
  dice_.seed(step.seed);
  world_.say(act_name(step.act));
  attempt([&] { act(step.act); });
  attempt([&] { end_of_step(); });
}

// Whatever is done may be what control dies at.
void EngineLife::attempt(const Task& task) {
  try {
    task();
    run_posted();
  } catch (const ControlDies&) {
    kill_control();
  }
}

void EngineLife::run_posted() {
  while (!posted_.empty()) {
    for (Task& task : std::exchange(posted_, {})) task();
  }
}

void EngineLife::act(Act act) {
  if (!engine_) be_born();  // flodead tries again
  switch (act) {
    case Act::kApply:
      return apply(random_manifest());
    case Act::kRelabel:
      return relabel();
    case Act::kRemove:
      return remove();
    case Act::kStop:
    case Act::kStart:
    case Act::kRestart:
      return verb(act);
    case Act::kRollback:
      return rollback();
    case Act::kAwait:
      return await_revision();
    case Act::kDeliver:
      for (auto n = dice_.pick(4) + 1; n > 0; --n) {
        host_->deliver();
        run_posted();
      }
      return;
    case Act::kPass:
      clock_.advance(std::chrono::milliseconds(dice_.of<int>({1, 50, 300, 2100, 7000, 40000})));
      if (engine_) host_->fire_timers();
      return;
    case Act::kExit:
      return exit();
    case Act::kReady:
      if (AgentId id = some_instance(); !id.empty()) host_->tell_ready(id);
      return;
    case Act::kHealth:
      return tell_health();
    case Act::kPressure:
      host_->pressure = dice_.of<std::optional<double>>({0.0, 10.0, 50.0, std::nullopt});
      return;
    case Act::kKill:
      return kill_control();
    case Act::kKillSoon:
      host_->fuse = dice_.pick(8);
      return;
    case Act::kRootKill:
      for (auto& [id, instance] : world_.instances) {
        if (instance.lives() && dice_.one_in(3))
          world_.exit(instance, FakeHost::ending(Blame::kFailure, "nobody saw how it ended"));
      }
      return kill_control();
    case Act::kReboot:
      return end_host(false);
    case Act::kPowerFails:
      return end_host(true);
    case Act::kShutDown:
      if (engine_) engine_->on_shutdown_requested();
      return;
    case Act::kSetClock:
      return clock_.set_wall(clock_.wall() +
                             dice_.of<Nanos>({-30 * 24h, -1h, -1s, 1s, 1h, 30 * 24h}));
    case Act::kDiskFull:
      disk_.full = full_once_ = true;
      return;
    case Act::kDiskFree:
      disk_.full = false;
      return;
  }
}

void EngineLife::end_of_step() {
  if (closed_) {
    closed_ = false;
    world_.must(world_.instances.empty(), "an instance is left after the supervisor's end");
    kill_control();
  }
  for (const auto& [number, request] : open_requests_) {
    if (request.removal) promises_.may_leave(request.name);
  }
  if (open_) promises_.hold(views());
}

// ---- deaths and births

void EngineLife::be_born() {
  closed_ = false;
  ++facts_.epoch.value;
  host_ = std::make_unique<FakeHost>(world_, clock_, dice_, facts_);
  host_->on_start = [this](const StartOrder& order) { on_start(order); };
  host_->on_shutdown_of = [this](const AgentId& id) { on_shutdown_of(id); };
  host_->on_its_own_end = [this](const AgentId& id) { promises_.ended(id); };
  auto db = StateDb::open(directory_ / "state.db");
  if (!db) return world_.say("   state.db cannot be opened: " + db.error().describe());
  engine_ = std::make_unique<Engine>(
      EngineParts{.db = std::move(*db),
                  .clock = clock_,
                  .events = events_,
                  .post = [this](Task task) { posted_.push_back(std::move(task)); },
                  .check_spec = nothing_wrong,
                  .random = [this] { return dice_.pick(1000) / 1000.0; },
                  .closed = [this] { closed_ = true; },
                  .new_id =
                      [this] {
                        std::string digits = std::to_string(++ids_);
                        return *AgentId::parse(std::string(32 - digits.size(), '0') + digits);
                      }});
  host_->hear(*engine_);
  engine_->recover(*host_, metrics_, facts_, [this](const Status& recovered) {
    if (recovered) open_ = true;
  });
}

void EngineLife::kill_control() {
  if (engine_) host_->die();
  bury();
  be_born();
}

void EngineLife::end_host(bool power) {
  if (engine_) host_->die();
  world_.host_ends();
  facts_.boot_id = "boot " + std::to_string(++boots_);
  if (power) disk_.power_fails(directory_ / "state.db", dice_, [this] { engine_.reset(); });
  bury();
  be_born();
}

// What it was asked and had not answered, it may have done or not.
void EngineLife::bury() {
  for (const auto& [number, request] : std::exchange(open_requests_, {})) {
    promises_.unsure_of(request.name);
    if (request.removal) promises_.may_leave(request.name);
  }
  posted_.clear();
  awaits_.clear();
  engine_.reset();
  open_ = closed_ = false;
  full_once_ = disk_.full;
}

// ---- what is checked as it happens

void EngineLife::on_event(const Event& event) {
  if (event.kind == "agent.put_back") promises_.put_back(event.agent);
  if (event.kind != "agent.state") return;
  told_state_[event.agent] = event.to;
  world_.say("   * " + event.agent + "/" + std::to_string(event.generation) + " " + event.to +
             (event.message.empty() ? "" : " (" + event.message + ")"));
}

void EngineLife::on_start(const StartOrder& order) {
  const std::string& who = order.manifest.name;
  bool asked =
      std::ranges::any_of(open_requests_, [&](const auto& one) { return one.second.name == who; });
  world_.must(asked || promises_.wants(who, order.id), who + " is started, and nobody wants it");
  if (full_once_) return;  // what it knew of the others may be older than what it told
  for (const std::string& name : order.manifest.spec.after) {
    const std::string& state = told_state_[name];
    world_.must(state == "running" || state == "stopped",
                who + " is started before " + name + ", which is " + state);
  }
}

void EngineLife::on_shutdown_of(const AgentId& id) {
  if (full_once_) return;
  std::string who = promises_.name_of(id);
  for (const auto& [name, one] : promises_.wanted) {
    const auto& after = one.manifest.spec.after;
    bool needs = !one.unsure && std::ranges::find(after, who) != after.end();
    const std::string& state = told_state_[name];
    bool there = state == "preparing" || state == "starting" || state == "running";
    world_.must(!needs || !there, who + " is stopped before " + name + ", which is " + state);
  }
}

std::vector<AgentView> EngineLife::views() {
  std::vector<AgentView> out;
  engine_->list([&](const Result<std::vector<AgentView>>& list) { out = *list; });
  run_posted();
  return out;
}

// ---- the end of a story

void EngineLife::soothe() {
  disk_.full = false;
  host_->calm = true;
  host_->fuse.reset();
  host_->pressure = 0;
  for (const auto& [id, instance] : world_.instances) {
    if (!instance.lives() || !instance.executed) continue;
    host_->tell_ready(id);
    Health health = instance.health;
    if (!health.started) health.started = true, health.started_at = clock_.monotonic();
    health.ready = true;
    health.hung.clear();
    host_->tell_health(id, health);
  }
}

std::string EngineLife::come_to_rest() {
  world_.say("from here on nothing goes wrong");
  std::string unmet = "nothing was seen";
  for (int i = 0; i < kRounds; ++i) {
    attempt([&] {
      if (!engine_) be_born();
      soothe();
      clock_.advance(1s);
      host_->fire_timers();
      run_posted();
      while (host_->deliver()) run_posted(), soothe();
      end_of_step();
    });
    if (!world_.violation.empty()) return world_.violation;
    if (!open_) continue;
    auto seen = views();
    unmet = promises_.unmet(seen, facts_.max_memory_bytes);
    if (unmet.empty()) unmet = unanswered(seen);
    if (unmet.empty() && open_requests_.empty()) return "";
  }
  return unmet.empty() ? "a request is never answered" : unmet;
}

}  // namespace flodea::control::testing
