#include "modules/kernel/sleep_queue.h"

#include <utility>

namespace flodea::kernel {

SleepQueue::Id SleepQueue::add(SleepClock clock, Nanos until, Wake wake) {
  Id id = ++last_id_;
  auto at = queue(clock).emplace(until, Sleep{id, std::move(wake)});
  place_.emplace(id, Place{clock, at});
  return id;
}

SleepQueue::Wake SleepQueue::cancel(Id id) {
  auto place = place_.find(id);
  if (place == place_.end()) return {};
  auto node = queue(place->second.clock).extract(place->second.at);
  place_.erase(place);
  return std::move(node.mapped().wake);
}

void SleepQueue::take_due(Queue& queue, Nanos now, std::vector<Wake>& due) {
  while (!queue.empty() && queue.begin()->first <= now) {
    auto node = queue.extract(queue.begin());
    place_.erase(node.mapped().id);
    due.push_back(std::move(node.mapped().wake));
  }
}

std::vector<SleepQueue::Wake> SleepQueue::take_due() {
  std::vector<Wake> due;
  take_due(monotonic_, clock_.monotonic(), due);
  take_due(wall_, clock_.wall(), due);
  return due;
}

std::optional<Nanos> SleepQueue::next(SleepClock clock) const {
  const Queue& sleeps = clock == SleepClock::kWall ? wall_ : monotonic_;
  if (sleeps.empty()) return std::nullopt;
  return sleeps.begin()->first;
}

}  // namespace flodea::kernel
