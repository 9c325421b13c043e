// What operators were told by an engine, and hold it to: whatever it has acknowledged is so from
// then on, also for the next control and after a failure of power. A request that was cut off may
// have been heard or not. One thread.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/control/lifecycle/testing/fake_world.h"

namespace flodea::control::testing {

class Promises {
 public:
  enum class Leaving { kNo, kMaybe, kYes };
  struct Wanted {
    AgentId id;
    AgentManifest manifest;
    bool running = true;
    bool unsure = false;  // a request about it was cut off
    Leaving leaving = Leaving::kNo;
    bool ended = false;  // by itself, since an operator last asked for an instance
  };
  std::map<std::string, Wanted> wanted;

  explicit Promises(FakeWorld& world) : world_(world) {}

  void asked_for(const AgentManifest& manifest);  // whatever comes of it
  void applied(const ApplyOutcome& outcome, bool started);
  void put_back(const std::string& name) { wanted[name].unsure = true; }
  void stands(const std::string& name, bool running);
  void removed(const std::string& name, bool volume_kept);
  void unsure_of(const std::string& name) { wanted[name].unsure = true; }
  void leaves(const std::string& name);  // its removal is stored
  void may_leave(const std::string& name);
  bool wants(const std::string& name, const AgentId& id) const {
    auto it = wanted.find(name);
    return it != wanted.end() && (it->second.id == id || it->second.unsure);
  }
  std::string name_of(const AgentId& id) const {
    for (const auto& [name, one] : wanted) {
      if (one.id == id) return name;
    }
    return "";
  }
  void ended(const AgentId& id) {
    for (auto& [name, one] : wanted) {
      if (one.id == id) one.ended = true;
    }
  }

  // Is all as it was said?
  void hold(const std::vector<AgentView>& views);
  // Is all as it is wanted? What is not, in words; empty: everything is. `room`: memory for all.
  std::string unmet(const std::vector<AgentView>& views, std::uint64_t room) const;

 private:
  void learn(Wanted& one, const AgentView& view);
  void was_asked_for(const AgentView& view);
  void takes_kept_volume(const AgentView& view);
  void keep_volume(const std::string& name, const AgentId& id);
  std::string unmet(const Wanted& one, const AgentView& view, const std::vector<AgentView>& all,
                    std::uint64_t room) const;
  bool may_wait(const Wanted& one, const std::vector<AgentView>& all, std::uint64_t room) const;
  std::string left_over() const;

  FakeWorld& world_;
  std::map<std::string, std::vector<AgentManifest>> history_;
  std::map<std::string, AgentId> kept_;  // volumes, by the name that they wait for
};

}  // namespace flodea::control::testing
