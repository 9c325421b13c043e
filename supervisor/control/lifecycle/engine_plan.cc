// Engine: whether a manifest may be applied, and what that would do; for one, or for several
// together.
#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {

Status Engine::check_apply(const AgentManifest& manifest) {
  Planned alone;
  return check_apply(manifest, alone);
}

// All that can refuse a manifest; before anything is made for it, and again once it is.
Status Engine::check_apply(const AgentManifest& manifest, Planned& planned) {
  TRY(check_agent_name(manifest.name));
  if (closing_) return fail(Code::kUnavailable, "the supervisor is shut down");
  TRY(parts_.check_spec(manifest.spec));
  TRY(check_after(manifest, planned));
  Agent* agent = find(manifest.name);
  if (agent == nullptr)
    return check_host(manifest.spec, TRY(kept_volume_bytes(manifest.name)), planned);
  if (agent->stored.removal != Removal::kNone) return being_removed(manifest.name);
  if (manifest == agent->stored.manifest) return {};
  // Its disk is as large as it was first applied, even where the volume is not made yet: one rule
  // to remember.
  return check_host(manifest.spec, agent->stored.manifest.spec.resources.disk_bytes, planned);
}

// A ring of agents that wait for each other would never start.
Status Engine::check_after(const AgentManifest& manifest, Planned& planned) {
  std::vector<std::string> path = ring_of(manifest, planned);
  if (path.empty()) return {};
  std::string ring = path.front();
  for (std::size_t i = 1; i < path.size(); ++i) ring += " after " + path[i];
  Error error = fail(Code::kInvalidArgument, "the agents wait for each other: " + ring).value();
  return tl::unexpected<Error>(
      std::move(error).with_field("spec.after").with_remedy("take one of them out of the ring"));
}

Status Engine::check_after(const AgentManifest& manifest) {
  Planned alone;
  return check_after(manifest, alone);
}

// From the manifest's agent back to it; empty: it is on none. Depth first, each agent once in a
// whole plan unless there is a ring.
std::vector<std::string> Engine::ring_of(const AgentManifest& manifest, Planned& planned) {
  struct Place {
    const AgentManifest* manifest;
    std::size_t next = 0;
  };
  auto manifest_of = [&](const std::string& name) -> const AgentManifest* {
    auto it = planned.manifests.find(name);
    if (it != planned.manifests.end()) return it->second;
    const Agent* agent = find(name);
    return agent == nullptr ? nullptr : &agent->stored.manifest;
  };
  if (planned.ring_free.contains(manifest.name)) return {};
  std::vector<Place> path{{&manifest}};
  std::set<std::string> seen{manifest.name}, on_path{manifest.name};
  bool another_ring = false;
  while (!path.empty()) {
    Place& place = path.back();
    if (place.next == place.manifest->spec.after.size()) {
      on_path.erase(place.manifest->name);
      path.pop_back();
      continue;
    }
    const std::string& name = place.manifest->spec.after[place.next++];
    if (name == manifest.name) {
      std::vector<std::string> ring;
      for (const Place& one : path) ring.push_back(one.manifest->name);
      ring.push_back(name);
      return ring;
    }
    if (planned.ring_free.contains(name)) continue;
    if (!seen.insert(name).second) {
      another_ring = another_ring || on_path.contains(name);
      continue;
    }
    const AgentManifest* other = manifest_of(name);
    if (other == nullptr) continue;
    on_path.insert(name);
    path.push_back({other});
  }
  if (!another_ring) planned.ring_free.merge(seen);
  return {};
}

Status Engine::check_host(const AgentSpec& spec, std::optional<std::uint64_t> volume_bytes,
                          Planned& planned) {
  if (!planned.room) {
    planned.room = HostRoom{.disk_free = effects_->disk_free()};
    for (const auto& [id, agent] : agents_) {
      if (!agent->stored.volume_made)
        planned.room->disk_promised +=
            image_bytes(agent->stored.manifest.spec.resources.disk_bytes);
    }
  }
  return admit(spec, host_, *planned.room, volume_bytes);
}

// Of the volume that a new agent of this name gets; none: it gets a new one.
Result<std::optional<std::uint64_t>> Engine::kept_volume_bytes(const std::string& name) {
  auto kept = TRY(parts_.db.kept_volume(name));
  if (!kept || !kept->made) return std::nullopt;
  return kept->disk_bytes;
}

void Engine::plan(std::vector<AgentManifest> manifests, Callback<std::vector<ApplyOutcome>> done) {
  when_open([this, manifests = std::move(manifests), done = std::move(done)] {
    done(plan_now(manifests));
  });
}

Result<std::vector<ApplyOutcome>> Engine::plan_now(const std::vector<AgentManifest>& manifests) {
  Planned planned;
  for (const AgentManifest& manifest : manifests) planned.manifests[manifest.name] = &manifest;
  std::vector<ApplyOutcome> outcomes;
  for (std::size_t i = 0; i < manifests.size(); ++i) {
    auto outcome = preview(manifests[i], planned);
    if (!outcome) {
      Error error = std::move(outcome).error().with_context("agent " + manifests[i].name);
      return tl::unexpected(of_manifest(std::move(error), i));
    }
    outcomes.push_back(std::move(*outcome));
  }
  return outcomes;
}

// What `take_manifest` would answer, and the agent as it would be; its disk counts from then on.
Result<ApplyOutcome> Engine::preview(const AgentManifest& manifest, Planned& planned) {
  TRY(check_apply(manifest, planned));
  const Agent* agent = find(manifest.name);
  if (agent == nullptr) {
    if (!TRY(kept_volume_bytes(manifest.name)))
      planned.room->disk_promised += image_bytes(manifest.spec.resources.disk_bytes);
    Agent fresh;
    fresh.stored.manifest = manifest;
    fresh.stored.created = fresh.stored.state_since = parts_.clock.wall();
    return ApplyOutcome{.kind = ApplyOutcome::Kind::kCreated, .agent = view_of(fresh)};
  }
  AgentView view = view_of(*agent);
  bool same = manifest == agent->stored.manifest;
  if (!same) ++view.revision;
  view.manifest = manifest;
  return ApplyOutcome{.kind = same ? ApplyOutcome::Kind::kUnchanged : ApplyOutcome::Kind::kChanged,
                      .agent = std::move(view)};
}

}  // namespace flodea::control
