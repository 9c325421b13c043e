#include "supervisor/root/restart_policy.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::root;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("a service that lived is started again at once") {
  RestartHistory history;
  CHECK(history.ended(seconds(0), seconds(2)).delay == Nanos{});
  CHECK(history.ended(seconds(2), seconds(100)).delay == Nanos{});
  CHECK(history.total() == 2);
}

TEST_CASE("a service that keeps dying young waits longer each time, and is called a crash loop") {
  RestartHistory history;
  Nanos now{};
  Nanos last{};
  for (int i = 1; i <= 20; ++i) {
    auto decision = history.ended(now, now + milliseconds(10));
    CHECK(decision.delay >= last);
    CHECK(decision.delay <= milliseconds(500));
    CHECK(decision.crash_loop == (i >= 8));
    if (i == 1) CHECK(decision.delay == Nanos{});
    if (i == 2) CHECK(decision.delay == milliseconds(50));
    last = decision.delay;
    now += milliseconds(10) + decision.delay;
  }
  CHECK(last == milliseconds(500));
  CHECK(history.ended(now, now + seconds(3)).delay == Nanos{});  // one steady life ends the row
}
