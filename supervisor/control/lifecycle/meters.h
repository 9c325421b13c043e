// What running instances use, read where the kernel counts it: cgroup files and the file system of
// the volume. Thread-safe: asked on gRPC threads (Self/Usage) and on the core thread. An instance's
// meter holds a descriptor of its store; `remove` has closed it on return, so that the volume can
// go.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/cgroup.h"
#include "base/ids.h"
#include "base/unique_fd.h"

namespace flodea::control {

struct MeterReading {
  CgroupUsage cgroup;
  std::uint64_t disk_used = 0;
  std::uint64_t disk_size = 0;
};

class Meters {
 public:
  // What cannot be opened is read as 0. `store` stays the caller's.
  void add(const AgentId& agent, const std::vector<CgroupPath>& cgroups, const UniqueFd& store);
  void remove(const AgentId& agent);
  std::optional<MeterReading> read(const AgentId& agent) const;
  std::optional<CgroupStrain> strain(const AgentId& agent) const;

 private:
  struct Meter {
    std::mutex mutex;
    std::optional<CgroupReader> cgroup;
    UniqueFd store;
  };
  std::shared_ptr<Meter> find(const AgentId& agent) const;

  mutable std::mutex mutex_;
  std::map<AgentId, std::shared_ptr<Meter>> meters_;  // under mutex_
};

}  // namespace flodea::control
