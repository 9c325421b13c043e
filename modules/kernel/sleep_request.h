// What an agent may ask of SleepUntil. Pure.
#pragma once

#include "base/result.h"
#include "modules/kernel/sleep_queue.h"

namespace flodea::kernel {

inline constexpr std::uint32_t kMaxSleeps = 64;  // of one agent at a time
inline constexpr Nanos kMaxAhead = std::chrono::hours(24 * 366);

struct SleepRequest {
  SleepClock clock;
  Nanos until;
};

// True: the time is still to come. False: it has passed. kInvalidArgument: more than 366 days
// ahead.
Result<bool> must_sleep(const SleepRequest& request, const Clock& clock);

}  // namespace flodea::kernel
