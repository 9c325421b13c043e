#include "supervisor/control/lifecycle/testing/promises.h"

namespace flodea::control::testing {
namespace {

const AgentView* find(const std::vector<AgentView>& views, const std::string& name) {
  auto it = std::ranges::find(views, name, [](const AgentView& v) { return v.manifest.name; });
  return it == views.end() ? nullptr : &*it;
}

bool is_over(const AgentView& view) {
  return view.state == AgentState::kStopped || view.state == AgentState::kFailed;
}

}  // namespace

void Promises::asked_for(const AgentManifest& manifest) {
  history_[manifest.name].push_back(manifest);
}

void Promises::was_asked_for(const AgentView& view) {
  const auto& asked = history_[view.manifest.name];
  world_.must(std::ranges::find(asked, view.manifest) != asked.end(),
              view.manifest.name + " has a manifest that nobody applied");
}

// Whoever comes next under its name.
void Promises::takes_kept_volume(const AgentView& view) {
  auto kept = kept_.find(view.manifest.name);
  if (kept == kept_.end()) return;
  world_.must(kept->second == view.id,
              view.manifest.name + " does not get the volume that was kept for it");
  kept_.erase(kept);
}

void Promises::applied(const ApplyOutcome& outcome, bool started) {
  const AgentView& view = outcome.agent;
  const std::string& name = view.manifest.name;
  was_asked_for(view);
  bool created = outcome.kind == ApplyOutcome::Kind::kCreated;
  Wanted& one = wanted[name];
  if (created) {
    takes_kept_volume(view);
    one = {.id = view.id};
  }
  bool running = created || started || (one.unsure ? view.desired_running : one.running);
  bool fresh = created || view.manifest.spec != one.manifest.spec || running != one.running;
  if (fresh) one.ended = false;
  one.id = view.id;
  one.manifest = view.manifest;
  one.running = running;
  one.unsure = false;
  one.leaving = Leaving::kNo;
}

void Promises::stands(const std::string& name, bool running) {
  Wanted& one = wanted[name];
  one.running = running;
  one.leaving = Leaving::kNo;
  if (running) one.ended = false;
}

void Promises::removed(const std::string& name, bool volume_kept) {
  AgentId id = wanted[name].id;
  wanted.erase(name);
  world_.must(!world_.instances.contains(id), name + " was removed and has an instance");
  world_.must(volume_kept || !world_.volumes.contains(id),
              name + " was removed and has its volume");
  if (volume_kept)
    keep_volume(name, id);
  else
    world_.removed.insert(id);
}

void Promises::keep_volume(const std::string& name, const AgentId& id) {
  if (world_.volumes.contains(id)) kept_[name] = id;
}

void Promises::leaves(const std::string& name) {
  if (auto it = wanted.find(name); it != wanted.end()) it->second.leaving = Leaving::kYes;
}

void Promises::may_leave(const std::string& name) {
  auto it = wanted.find(name);
  if (it != wanted.end() && it->second.leaving == Leaving::kNo)
    it->second.leaving = Leaving::kMaybe;
}

void Promises::learn(Wanted& one, const AgentView& view) {
  was_asked_for(view);
  if (one.id != view.id) takes_kept_volume(view);
  one.id = view.id;
  one.manifest = view.manifest;
  one.running = view.desired_running;
  one.unsure = false;
}

void Promises::hold(const std::vector<AgentView>& views) {
  for (const AgentView& view : views) {
    const std::string& name = view.manifest.name;
    auto it = wanted.find(name);
    world_.must(it != wanted.end(), name + " is there, and nobody wants it");
    if (it == wanted.end()) return;
    Wanted& one = it->second;
    if (one.unsure) learn(one, view);
    if (one.leaving != Leaving::kNo) continue;
    world_.must(one.id == view.id, name + " is another agent than before");
    world_.must(one.manifest == view.manifest, name + " is not as it was applied");
    world_.must(one.running == view.desired_running, name + " was asked to stand otherwise");
  }
  std::erase_if(wanted, [&](const auto& entry) {
    const auto& [name, one] = entry;
    if (find(views, name) != nullptr) return false;
    world_.must(one.unsure || one.leaving != Leaving::kNo, name + " is lost");
    if (one.id.empty()) return true;  // it never was
    keep_volume(name, one.id);
    return true;
  });
}

// ---- at the end

bool Promises::may_wait(const Wanted& one, const std::vector<AgentView>& all,
                        std::uint64_t room) const {
  for (const std::string& name : one.manifest.spec.after) {
    const AgentView* other = find(all, name);
    if (other == nullptr) return true;
    bool there = other->state == AgentState::kRunning ||
                 (other->state == AgentState::kStopped && other->exit_code == 0);
    if (!there) return true;
  }
  std::uint64_t used = 0;
  for (const auto& [id, instance] : world_.instances)
    used += instance.manifest.spec.resources.memory_bytes;
  return used + one.manifest.spec.resources.memory_bytes > room;
}

std::string Promises::unmet(const Wanted& one, const AgentView& view,
                            const std::vector<AgentView>& all, std::uint64_t room) const {
  auto it = world_.instances.find(view.id);
  const WorldInstance* instance = it == world_.instances.end() ? nullptr : &it->second;
  bool runs = view.state == AgentState::kRunning && instance != nullptr && instance->lives();
  if (one.leaving == Leaving::kYes) return "is still there";
  if (!one.running) return is_over(view) && instance == nullptr ? "" : "is not stopped";
  if (runs) {
    if (instance->manifest.spec != view.manifest.spec) return "runs an earlier revision";
    return instance->frozen || view.frozen ? "is frozen" : "";
  }
  if (instance != nullptr) return "has an instance that does not run";
  if (is_over(view)) return one.ended ? "" : "is over, and was never started";
  return may_wait(one, all, room) ? "" : "is not started";
}

// Nothing that belongs to nobody.
std::string Promises::left_over() const {
  auto owned = [this](const AgentId& id) {
    return std::ranges::any_of(wanted, [&](const auto& one) { return one.second.id == id; });
  };
  for (const auto& [id, instance] : world_.instances) {
    if (!owned(id)) return FakeWorld::call(id, instance.generation) + " belongs to nobody";
  }
  for (const AgentId& id : world_.volumes) {
    bool kept = std::ranges::any_of(kept_, [&](const auto& one) { return one.second == id; });
    if (!owned(id) && !kept) return "the volume of " + id.text().substr(28) + " belongs to nobody";
  }
  return "";
}

std::string Promises::unmet(const std::vector<AgentView>& views, std::uint64_t room) const {
  for (const AgentView& view : views) {
    auto it = wanted.find(view.manifest.name);
    if (it == wanted.end()) continue;
    std::string what = unmet(it->second, view, views, room);
    if (what.empty()) continue;
    return view.manifest.name + " " + what + ": it is " + state_name(view.state) + " (" +
           view.message + ")";
  }
  return left_over();
}

}  // namespace flodea::control::testing
