// Names of agents by id, for threads other than the core: metrics and events of calls are labelled
// with them. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

#include "base/ids.h"

namespace flodea::control {

class AgentNames {
 public:
  void set(const AgentId& id, std::string name) {
    std::lock_guard lock(mutex_);
    names_[id] = std::move(name);
  }
  void forget(const AgentId& id) {
    std::lock_guard lock(mutex_);
    names_.erase(id);
  }
  std::string of(const AgentId& id) const {  // empty: unknown
    std::lock_guard lock(mutex_);
    auto it = names_.find(id);
    return it == names_.end() ? std::string() : it->second;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<AgentId, std::string> names_;  // under mutex_
};

}  // namespace flodea::control
