// A clock that stands still until a test steps it. Thread-safe.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace flodea {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(Nanos wall = std::chrono::hours(24 * 365 * 50),
                     Nanos monotonic = std::chrono::hours(1))
      : wall_(wall.count()), monotonic_(monotonic.count()) {}

  Nanos wall() const override { return Nanos(wall_.load()); }
  Nanos monotonic() const override { return Nanos(monotonic_.load()); }
  Nanos boot() const override { return Nanos(monotonic_.load()); }

  void advance(Nanos by) {
    wall_ += by.count();
    monotonic_ += by.count();
  }
  void set_wall(Nanos wall) { wall_ = wall.count(); }  // somebody sets the clock

 private:
  std::atomic<Nanos::rep> wall_;
  std::atomic<Nanos::rep> monotonic_;
};

}  // namespace flodea
