#include "supervisor/control/lifecycle/meters.h"

#include <sys/statvfs.h>

namespace flodea::control {

void Meters::add(const AgentId& agent, const std::vector<CgroupPath>& cgroups,
                 const UniqueFd& store) {
  auto meter = std::make_shared<Meter>();
  if (auto reader = CgroupReader::open(cgroups)) meter->cgroup = std::move(*reader);
  if (auto copy = store.duplicate()) meter->store = std::move(*copy);
  std::lock_guard lock(mutex_);
  meters_[agent] = std::move(meter);
}

void Meters::remove(const AgentId& agent) {
  auto meter = find(agent);
  if (meter == nullptr) return;
  {
    std::lock_guard lock(mutex_);
    meters_.erase(agent);
  }
  std::lock_guard lock(meter->mutex);  // a reader that came before us is done after this
  meter->cgroup.reset();
  meter->store.reset();
}

std::shared_ptr<Meters::Meter> Meters::find(const AgentId& agent) const {
  std::lock_guard lock(mutex_);
  auto it = meters_.find(agent);
  return it == meters_.end() ? nullptr : it->second;
}

std::optional<MeterReading> Meters::read(const AgentId& agent) const {
  auto meter = find(agent);
  if (meter == nullptr) return std::nullopt;
  std::lock_guard lock(meter->mutex);
  MeterReading reading;
  if (meter->cgroup) {
    if (auto usage = meter->cgroup->read()) reading.cgroup = *usage;
  }
  struct statvfs fs{};
  if (meter->store.valid() && ::fstatvfs(meter->store.get(), &fs) == 0) {
    reading.disk_size = fs.f_blocks * fs.f_frsize;
    reading.disk_used = (fs.f_blocks - fs.f_bfree) * fs.f_frsize;
  }
  return reading;
}

std::optional<CgroupStrain> Meters::strain(const AgentId& agent) const {
  auto meter = find(agent);
  if (meter == nullptr) return std::nullopt;
  std::lock_guard lock(meter->mutex);
  if (!meter->cgroup) return std::nullopt;
  return meter->cgroup->strain();
}

}  // namespace flodea::control
