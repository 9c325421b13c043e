#include <poll.h>

#include <future>
#include <limits>

#include <catch2/catch_test_macros.hpp>

#include "modules/kernel/sleep_queue.h"
#include "modules/kernel/sleep_request.h"
#include "modules/kernel/sleeper.h"
#include "tests/support/fake_clock.h"

namespace flodea::kernel {
namespace {

using std::chrono::seconds;

struct Fixture {
  SleepQueue::Id begin(SleepClock which, Nanos until, int number) {
    return queue.add(which, until, [this, number] { woken.push_back(number); });
  }
  std::vector<int> due() {
    woken.clear();
    for (auto& wake : queue.take_due()) wake();
    return woken;
  }
  FakeClock clock;
  SleepQueue queue{clock};
  std::vector<int> woken;
};

}  // namespace

TEST_CASE("sleeps end in the order of their times") {
  Fixture f;
  Nanos now = f.clock.monotonic();
  f.begin(SleepClock::kMonotonic, now + seconds(3), 3);
  f.begin(SleepClock::kMonotonic, now + seconds(1), 1);
  f.begin(SleepClock::kMonotonic, now + seconds(2), 2);
  CHECK(f.due().empty());
  CHECK(f.queue.next(SleepClock::kMonotonic) == now + seconds(1));
  CHECK_FALSE(f.queue.next(SleepClock::kWall));
  f.clock.advance(seconds(2));
  CHECK(f.due() == std::vector{1, 2});
  f.clock.advance(seconds(1));
  CHECK(f.due() == std::vector{3});
  CHECK(f.queue.size() == 0);
}

TEST_CASE("setting the wall clock ends wall sleeps, and only these") {
  Fixture f;
  f.begin(SleepClock::kWall, f.clock.wall() + seconds(60), 1);
  f.begin(SleepClock::kMonotonic, f.clock.monotonic() + seconds(60), 2);
  f.clock.set_wall(f.clock.wall() + seconds(61));
  CHECK(f.due() == std::vector{1});
}

TEST_CASE("a wall clock set back lengthens a wall sleep") {
  Fixture f;
  Nanos until = f.clock.wall() + seconds(60);
  f.begin(SleepClock::kWall, until, 1);
  f.clock.set_wall(f.clock.wall() - seconds(3600));
  f.clock.advance(seconds(61));
  CHECK(f.due().empty());
  f.clock.set_wall(until);
  CHECK(f.due() == std::vector{1});
}

TEST_CASE("a cancelled sleep never ends") {
  Fixture f;
  auto id = f.begin(SleepClock::kMonotonic, f.clock.monotonic() + seconds(1), 1);
  CHECK(f.queue.cancel(id));
  CHECK_FALSE(f.queue.cancel(id));
  f.clock.advance(seconds(2));
  CHECK(f.due().empty());
}

TEST_CASE("a sleep may end at most 366 days ahead") {
  FakeClock clock;
  Nanos now = clock.wall();
  CHECK(must_sleep({SleepClock::kWall, now - seconds(5)}, clock) == false);
  CHECK(must_sleep({SleepClock::kWall, now}, clock) == false);
  CHECK(must_sleep({SleepClock::kWall, now + kMaxAhead}, clock) == true);
  auto far = must_sleep({SleepClock::kWall, now + kMaxAhead + Nanos(1)}, clock);
  REQUIRE_FALSE(far);
  CHECK(far.error().code == Code::kInvalidArgument);
  CHECK(far.error().field == "wall_nanos");
  Nanos end = Nanos(std::numeric_limits<std::int64_t>::max());
  CHECK_FALSE(must_sleep({SleepClock::kMonotonic, end}, clock));
  CHECK(must_sleep({SleepClock::kMonotonic, Nanos(std::numeric_limits<std::int64_t>::min())},
                   clock) == false);
}

TEST_CASE("the sleeper's thread wakes on both clocks, the earlier sleep first") {
  SystemClock clock;
  auto sleeper = *Sleeper::create(clock);
  std::promise<void> wall, monotonic;
  bool cancelled_was_called = false;
  auto far = sleeper->sleep_until(SleepClock::kWall, clock.wall() + seconds(3600),
                                  [&] { cancelled_was_called = true; });
  sleeper->sleep_until(SleepClock::kWall, clock.wall() + std::chrono::milliseconds(20),
                       [&] { wall.set_value(); });
  sleeper->sleep_until(SleepClock::kMonotonic, clock.monotonic() + std::chrono::milliseconds(10),
                       [&] { monotonic.set_value(); });
  CHECK(wall.get_future().wait_for(seconds(20)) == std::future_status::ready);
  CHECK(monotonic.get_future().wait_for(seconds(20)) == std::future_status::ready);
  CHECK(sleeper->cancel(far));
  sleeper.reset();
  CHECK_FALSE(cancelled_was_called);
}

}  // namespace flodea::kernel
