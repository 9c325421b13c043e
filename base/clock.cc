#include "base/clock.h"

#include <ctime>

namespace flodea {
namespace {
Nanos read(clockid_t id) {
  timespec t{};
  ::clock_gettime(id, &t);
  return std::chrono::seconds(t.tv_sec) + Nanos(t.tv_nsec);
}
}  // namespace

Nanos SystemClock::wall() const { return read(CLOCK_REALTIME); }
Nanos SystemClock::monotonic() const { return read(CLOCK_MONOTONIC); }
Nanos SystemClock::boot() const { return read(CLOCK_BOOTTIME); }

}  // namespace flodea
