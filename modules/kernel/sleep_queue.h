// Sleeps of all agents, ordered by when they end, on two clocks. Pure but for the clock it is
// given: who owns it asks `next` how long to wait, and calls `take_due` then, and whenever the wall
// clock was set. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.h"

namespace flodea::kernel {

enum class SleepClock { kWall, kMonotonic };

class SleepQueue {
 public:
  using Id = std::uint64_t;
  using Wake = std::function<void()>;

  explicit SleepQueue(const Clock& clock) : clock_(clock) {}

  Id add(SleepClock clock, Nanos until, Wake wake);
  // The sleep's Wake, which will not be called; empty if it was taken already.
  Wake cancel(Id id);
  // What must be called now, earliest first.
  std::vector<Wake> take_due();
  // When the next sleep of this clock ends, in its own time.
  std::optional<Nanos> next(SleepClock clock) const;
  std::size_t size() const { return place_.size(); }

 private:
  struct Sleep {
    Id id;
    Wake wake;
  };
  using Queue = std::multimap<Nanos, Sleep>;
  struct Place {
    SleepClock clock;
    Queue::iterator at;
  };
  Queue& queue(SleepClock clock) { return clock == SleepClock::kWall ? wall_ : monotonic_; }
  void take_due(Queue& queue, Nanos now, std::vector<Wake>& due);

  const Clock& clock_;
  Queue wall_;
  Queue monotonic_;
  std::unordered_map<Id, Place> place_;
  Id last_id_ = 0;
};

}  // namespace flodea::kernel
