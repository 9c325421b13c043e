// What flodead, the vault and the workers hold, played by a test: instances and volumes. They
// outlive every control. It obeys whatever it is told, and notes the moment at which something is
// so that must never be. One thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "supervisor/control/lifecycle/effects.h"
#include "supervisor/control/lifecycle/pressure.h"

namespace flodea::control::testing {

struct WorldInstance {
  enum class Life { kMaking, kLive, kExited };
  Generation generation;
  AgentManifest manifest;
  Life life = Life::kMaking;
  std::optional<Nanos> executed;  // monotonic
  bool ready = false;
  bool frozen = false;
  bool given_up = false;  // control has heard that there is none
  Health health;
  Ending ending;

  bool lives() const { return life != Life::kExited; }
};

class FakeWorld {
 public:
  std::map<AgentId, WorldInstance> instances;  // from their start to their release
  std::set<AgentId> volumes;
  std::set<AgentId> removed;  // of whom an operator was told that they are gone
  std::vector<std::string> trace;
  std::string violation;  // the first

  void say(std::string line) { trace.push_back(std::move(line)); }
  void must(bool holds, const std::string& otherwise) {
    if (holds || !violation.empty()) return;
    violation = otherwise;
    say("!! " + otherwise);
  }
  static std::string call(const AgentId& id, Generation generation) {
    return "#" + id.text().substr(28) + "/" + std::to_string(generation.value);
  }

  WorldInstance* find(const AgentId& id, Generation generation) {
    auto it = instances.find(id);
    return it != instances.end() && it->second.generation == generation ? &it->second : nullptr;
  }

  // ---- what control asks for

  // Once its order is given, long before it is carried out.
  void promised(const StartOrder& order) {
    std::string who = call(order.id, order.generation);
    must(!removed.contains(order.id), who + " is of an agent that was removed");
    Generation& newest = newest_[order.id];
    must(order.generation > newest, who + " is not newer than " + call(order.id, newest));
    newest = std::max(newest, order.generation);
  }
  void start(const StartOrder& order) {
    std::string who = call(order.id, order.generation);
    if (auto it = instances.find(order.id); it != instances.end()) {
      must(!it->second.lives(),
           "two live instances: " + who + " beside " + call(order.id, it->second.generation));
      must(false,
           "two holders of a volume: " + who + " and " + call(order.id, it->second.generation));
      return;
    }
    must(volumes.contains(order.id), who + " has no volume");
    must(!removed.contains(order.id), who + " is of an agent that was removed");
    instances[order.id] = {.generation = order.generation, .manifest = order.manifest};
  }
  void exit(WorldInstance& instance, Ending ending) {
    instance.life = WorldInstance::Life::kExited;
    instance.ending = std::move(ending);
    instance.frozen = false;
  }
  void freeze(const AgentId& id, Generation generation, bool frozen) {
    WorldInstance* instance = find(id, generation);
    if (instance == nullptr || !instance->lives()) return;
    must(!frozen || may_be_frozen(instance->manifest.spec),
         call(id, generation) + " is frozen in spite of its priority");
    instance->frozen = frozen;
  }
  void release(const AgentId& id, Generation generation) {
    if (find(id, generation) != nullptr) instances.erase(id);
  }
  void destroy(const AgentId& id) {
    must(!instances.contains(id), "the volume of " + id.text().substr(28) + " is in use");
    volumes.erase(id);
  }

  // ---- what happens by itself

  void host_ends() { instances.clear(); }  // and starts again
  std::vector<ListedInstance> list() const {
    std::vector<ListedInstance> out;
    for (const auto& [id, instance] : instances) {
      auto state = ListedInstance::State::kRunning;
      if (instance.life == WorldInstance::Life::kMaking) state = ListedInstance::State::kStarting;
      if (!instance.lives()) state = ListedInstance::State::kExited;
      out.push_back({.agent = id, .generation = instance.generation, .state = state, .exit = {}});
    }
    return out;
  }

 private:
  std::map<AgentId, Generation> newest_;  // ever asked for
};

}  // namespace flodea::control::testing
