#include "modules/kernel/sleep_request.h"

namespace flodea::kernel {

Result<bool> must_sleep(const SleepRequest& request, const Clock& clock) {
  bool wall = request.clock == SleepClock::kWall;
  Nanos now = wall ? clock.wall() : clock.monotonic();
  if (request.until <= now) return false;
  if (request.until - now <= kMaxAhead) return true;
  return tl::unexpected(Error{.code = Code::kInvalidArgument,
                              .message = "a sleep may end at most 366 days from now",
                              .field = wall ? "wall_nanos" : "monotonic_nanos",
                              .remedy = "sleep in steps"});
}

}  // namespace flodea::kernel
