// EngineLife: what operators and agents do.
#include "supervisor/control/lifecycle/testing/engine_life.h"

namespace flodea::control::testing {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> kNames{"ant", "bee", "cat", "dog", "elk"};

}  // namespace

// ---- what operators do

std::string EngineLife::some_name() { return dice_.of(kNames); }

AgentManifest EngineLife::random_manifest() {
  AgentManifest out;
  out.name = some_name();
  AgentSpec& spec = out.spec;
  spec.runtime = {.type = "python", .entrypoint = "main.py"};
  spec.bundle = *BundleDigest::from_hex(std::string(64, 'b'));
  spec.resources.memory_bytes = dice_.of<std::uint64_t>({100, 200, 400, 700}) * kMiB;
  spec.restart.policy = dice_.of<RestartPolicy>(
      {RestartPolicy::kAlways, RestartPolicy::kOnFailure, RestartPolicy::kNever});
  spec.restart.max_retries = dice_.of<std::uint32_t>({0, 2, Restart::kNoEnd});
  spec.restart.reset_after = 10s;
  spec.stop_timeout = dice_.of<Nanos>({0s, 1s, 5s});
  spec.readiness.self = dice_.one_in(5);
  spec.readiness.timeout = dice_.of<Nanos>({1s, 30s});
  if (!spec.readiness.self && dice_.one_in(5)) spec.readiness.probe.emplace();
  if (dice_.one_in(5)) spec.startup.emplace();
  if (dice_.one_in(4)) spec.after = {some_name()};
  spec.priority = dice_.of<std::uint32_t>({10, 50, 90});
  return out;
}

std::uint64_t EngineLife::await(const std::string& name, bool removal) {
  open_requests_[++requests_] = {.name = name, .removal = removal};
  return requests_;
}

void EngineLife::apply(AgentManifest manifest) {
  if (!engine_) return;
  bool start = dice_.one_in(2);
  const Resources& resources = manifest.spec.resources;
  std::string after = manifest.spec.after.empty() ? "" : " after " + manifest.spec.after.front();
  world_.say("   apply " + manifest.name + (start ? " --start" : "") + " memory " +
             std::to_string(resources.memory_bytes / kMiB) + "M priority " +
             std::to_string(manifest.spec.priority) + after);
  promises_.asked_for(manifest);
  std::uint64_t request = await(manifest.name);
  engine_->apply(std::move(manifest), {.start = start, .by = "uid 7"},
                 [this, start, request](Result<ApplyOutcome> outcome) {
                   answered(request);
                   world_.say(outcome ? "   applied " + outcome->agent.manifest.name + " as " +
                                            outcome->agent.id.text().substr(28)
                                      : "   refused: " + outcome.error().describe());
                   if (outcome) promises_.applied(*outcome, start);
                 });
}

void EngineLife::relabel() {
  if (promises_.wanted.empty()) return;
  auto it = promises_.wanted.find(some_name());
  if (it == promises_.wanted.end() || it->second.manifest.name.empty()) return;
  AgentManifest manifest = it->second.manifest;
  manifest.labels["team"] = dice_.of<std::string>({"red", "blue"});
  apply(std::move(manifest));
}

void EngineLife::rollback() {
  if (!engine_) return;
  std::string name = some_name();
  world_.say("   rollback " + name);
  std::uint64_t request = await(name);
  engine_->rollback({.name = name}, false, [this, request](Result<ApplyOutcome> outcome) {
    answered(request);
    if (outcome) promises_.applied(*outcome, false);
  });
}

// Answered with what was asked for, or told why it will not be.
void EngineLife::await_revision() {
  if (!engine_) return;
  std::string name = some_name();
  std::uint64_t revision = dice_.pick(5);
  world_.say("   await " + name + " revision " + std::to_string(revision));
  std::uint64_t number = ++requests_;
  awaits_[number] = name;
  engine_->await(name, revision, true, [this, number, name, revision](Result<AgentView> view) {
    awaits_.erase(number);
    world_.say("   awaited " + name + ": " + (view ? "there" : view.error().describe()));
    if (!view) {
      Code code = view.error().code;
      bool told = code == Code::kNotFound || code == Code::kAborted || code == Code::kUnavailable;
      return world_.must(told, "an await of " + name + " failed: " + view.error().describe());
    }
    world_.must(revision == 0 || view->revision == revision,
                "who waited for revision " + std::to_string(revision) + " of " + name + " got " +
                    std::to_string(view->revision));
    bool over = view->state == AgentState::kStopped || view->state == AgentState::kFailed;
    world_.must(over || view->state == AgentState::kRunning || !view->desired_running,
                "who waited for " + name + " got it " + state_name(view->state));
  });
}

// Who is waited for is on its way.
std::string EngineLife::unanswered(const std::vector<AgentView>& views) const {
  for (const auto& [number, name] : awaits_) {
    auto view = std::ranges::find(views, name, [](const AgentView& v) { return v.manifest.name; });
    if (view == views.end()) return "an await of " + name + ", which is gone, is not answered";
    bool waits = view->state == AgentState::kPending || view->state == AgentState::kBackoff;
    if (!waits)
      return "an await of " + name + " is not answered, which is " + state_name(view->state);
  }
  return "";
}

void EngineLife::verb(Act act) {
  if (!engine_) return;
  std::string name = some_name();
  world_.say("   " + std::string(act_name(act)) + " " + name);
  std::uint64_t request = await(name);
  auto done = [this, request, name, up = act != Act::kStop](const Result<AgentView>& view) {
    answered(request);
    if (!view) return world_.say("   refused: " + view.error().describe());
    promises_.stands(name, up);
  };
  if (act == Act::kStop) return engine_->stop(name, false, done);
  if (act == Act::kStart) return engine_->start(name, false, done);
  engine_->restart(name, false, done);
}

// Once it is not refused at once, it is stored, and must come to its end.
void EngineLife::remove() {
  if (!engine_) return;
  std::string name = some_name();
  bool keep = dice_.one_in(3);
  world_.say("   remove " + name + (keep ? " --keep-data" : ""));
  std::uint64_t request = await(name, true);
  engine_->remove(name, keep, "uid 7", [this, request, name](const Result<RemovalReceipt>& gone) {
    answered(request);
    world_.say(gone ? "   removed " + name : "   not removed: " + gone.error().describe());
    if (gone) promises_.removed(name, gone->key_digest.empty());
  });
  run_posted();
  if (!open_requests_.contains(request)) return;
  open_ ? promises_.leaves(name) : promises_.may_leave(name);
}

// ---- what agents do

AgentId EngineLife::some_instance() {
  std::vector<AgentId> there;
  for (const auto& [id, instance] : world_.instances) {
    if (instance.life == WorldInstance::Life::kLive) there.push_back(id);
  }
  return there.empty() ? AgentId() : dice_.of(there);
}

void EngineLife::exit() {
  AgentId id = some_instance();
  if (id.empty()) return;
  Blame blame =
      dice_.of<Blame>({Blame::kSuccess, Blame::kFailure, Blame::kFailure, Blame::kBlameless});
  host_->exit(id, FakeHost::ending(blame, blame == Blame::kSuccess ? "exit code 0" : "it ended"));
}

void EngineLife::tell_health() {
  AgentId id = some_instance();
  if (id.empty()) return;
  Health health = world_.instances.at(id).health;
  if (!health.started && dice_.one_in(2))
    health.started = true, health.started_at = clock_.monotonic();
  health.ready = health.started && dice_.one_in(2);
  if (dice_.one_in(4)) {
    health.hung = "no beat";
    health.worker_hung = dice_.one_in(2);
  }
  host_->tell_health(id, health);
}

}  // namespace flodea::control::testing
