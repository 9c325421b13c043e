// Time as a dependency: what reads a clock takes a `Clock&`, so that tests step a fake one
// (tests/support/fake_clock.h).
#pragma once

#include <chrono>
#include <cstdint>

namespace flodea {

using Nanos = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Nanos wall() const = 0;       // since the Unix epoch, CLOCK_REALTIME
  virtual Nanos monotonic() const = 0;  // CLOCK_MONOTONIC: for durations, stands still in suspend
  virtual Nanos boot() const = 0;       // CLOCK_BOOTTIME: for leases, goes on in suspend
};

class SystemClock final : public Clock {
 public:
  Nanos wall() const override;
  Nanos monotonic() const override;
  Nanos boot() const override;
};

}  // namespace flodea
