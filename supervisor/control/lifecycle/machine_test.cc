#include "supervisor/control/lifecycle/machine.h"

#include <algorithm>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace flodea;
using namespace flodea::control;
using namespace std::chrono_literals;

namespace {

using Kind = Action::Kind;

// An agent under the machine, and the world as a test says it is. Time moves only by hand.
struct Bench {
  Desired desired{.stop_timeout = 5s};
  Observed seen;
  Record record;
  Nanos now = 1000s;
  std::vector<Action> actions;
  std::optional<Nanos> wake;

  // Steps until nothing changes; the actions that were asked for are those of this turn.
  void settle() {
    actions.clear();
    for (;;) {
      Step next = step(desired, seen, record, now, 0.5);
      for (const Action& action : next.actions) perform(action);
      wake = next.wake;
      bool same = next.record == record && next.actions.empty();
      record = next.record;
      if (same) return;
    }
  }
  void perform(const Action& action) {
    actions.push_back(action);
    if (action.kind == Kind::kStart) seen = {.presence = Presence::kRequested};
    if (action.kind == Kind::kRelease) seen.presence = Presence::kReleasing;
    if (action.kind == Kind::kCancel) seen.cancelled = true;
    if (action.kind == Kind::kProven) desired.proven = true;
  }
  void run() {
    settle();
    present();
    seen.executed = now;
    settle();
  }
  void present() {
    seen.presence = Presence::kPresent;
    settle();
  }
  void end(Blame blame, Reason reason = Reason::kExitCode, std::optional<int> code = {}) {
    seen.presence = Presence::kEnded;
    seen.ending = {.blame = blame, .reason = reason, .message = "it ended", .exit_code = code};
    settle();
  }
  void release() {
    seen = {};
    settle();
  }
  void pass(Nanos time) {
    now += time;
    settle();
  }
  bool did(Kind kind) const {
    return std::ranges::any_of(actions, [&](const Action& a) { return a.kind == kind; });
  }
};

}  // namespace

TEST_CASE("a wanted agent is prepared, started and runs once its execve succeeded") {
  Bench b;
  b.settle();
  CHECK(b.record.state == AgentState::kPreparing);
  CHECK(b.did(Kind::kStart));
  CHECK(b.record.generation.value == 1);
  b.present();
  CHECK(b.record.state == AgentState::kStarting);
  b.seen.executed = b.now;
  b.settle();
  CHECK(b.record.state == AgentState::kRunning);
}

TEST_CASE("an agent that nobody wants is stopped without being started") {
  Bench b;
  b.desired.running = false;
  b.settle();
  CHECK(b.record.state == AgentState::kStopped);
  CHECK(b.record.generation.value == 0);
}

TEST_CASE("exit 0 without a restart is stopped, only once it is released") {
  Bench b;
  b.desired.restart.policy = GENERATE(RestartPolicy::kOnFailure, RestartPolicy::kNever);
  b.run();
  b.end(Blame::kSuccess, Reason::kExitCode, 0);
  CHECK(b.record.state == AgentState::kStopping);
  CHECK(b.did(Kind::kRelease));
  b.release();
  CHECK(b.record.state == AgentState::kStopped);
  CHECK(b.record.reason == Reason::kExitCode);
  CHECK(b.record.exit_code == 0);
  b.pass(1h);
  CHECK(b.record.state == AgentState::kStopped);
}

TEST_CASE("exit 0 under `always` starts again, without end") {
  Bench b;
  b.desired.restart = {.policy = RestartPolicy::kAlways, .max_retries = 1};
  for (int i = 0; i < 5; ++i) {
    b.run();
    b.end(Blame::kSuccess);
    CHECK(b.record.state == AgentState::kBackoff);
    b.release();
    b.pass(1min);
    CHECK(b.record.state == AgentState::kPreparing);
  }
}

TEST_CASE("a failure under `never` is failed") {
  Bench b;
  b.desired.restart.policy = RestartPolicy::kNever;
  b.run();
  b.end(Blame::kFailure, Reason::kExitCode, 3);
  b.release();
  CHECK(b.record.state == AgentState::kFailed);
  CHECK(b.record.exit_code == 3);
}

TEST_CASE("retries are spent in a row, with a growing backoff, then the agent has failed") {
  Bench b;
  b.desired.restart = {.max_retries = 3, .initial = 200ms, .max = 500ms};
  for (Nanos delay : {200ms, 400ms, 500ms}) {
    b.run();
    b.end(Blame::kFailure, Reason::kOom);
    REQUIRE(b.record.state == AgentState::kBackoff);
    CHECK(b.wake == b.now + delay);
    b.release();
    b.pass(delay - 1ns);
    CHECK(b.record.state == AgentState::kBackoff);
    b.pass(1ns);
    CHECK(b.record.state == AgentState::kPreparing);
  }
  CHECK(b.record.restarts == 3);
  b.run();
  b.end(Blame::kFailure, Reason::kOom);
  b.release();
  CHECK(b.record.state == AgentState::kFailed);
  CHECK(b.record.reason == Reason::kOom);
}

TEST_CASE("a run of reset_after forgets earlier failures") {
  Bench b;
  b.desired.restart = {.max_retries = 1, .reset_after = 60s};
  for (int i = 0; i < 4; ++i) {
    b.run();
    b.pass(60s);
    b.end(Blame::kFailure);
    REQUIRE(b.record.state == AgentState::kBackoff);
    b.release();
    b.pass(1min);
  }
}

TEST_CASE("the backoff is jittered by ten per cent and never grows past its bound") {
  Restart restart{.initial = 1s, .max = 30s};
  CHECK(backoff_delay(restart, 0, 0.0) == 900ms);
  CHECK(backoff_delay(restart, 0, 0.5) == 1s);
  CHECK(backoff_delay(restart, 3, 0.5) == 8s);
  CHECK(backoff_delay(restart, 4'000'000'000u, 0.5) == 30s);
  CHECK(backoff_delay(restart, 4'000'000'000u, 0.999) <= 33s);
}

TEST_CASE("a restart waits for the release of the instance before it") {
  Bench b;
  b.run();
  b.end(Blame::kFailure);
  b.pass(1h);
  CHECK(b.record.state == AgentState::kBackoff);
  CHECK_FALSE(b.did(Kind::kStart));
  b.release();
  CHECK(b.did(Kind::kStart));
}

TEST_CASE("a hopeless ending is failed at once, a blameless one starts again under every policy") {
  Bench b;
  b.desired.restart = {.policy = RestartPolicy::kNever};
  b.run();
  b.end(Blame::kBlameless, Reason::kHost);
  CHECK(b.record.state == AgentState::kBackoff);
  CHECK(b.record.failures == 0);
  b.release();
  b.pass(1s);
  b.run();
  b.desired.restart = {.policy = RestartPolicy::kAlways};
  b.end(Blame::kHopeless, Reason::kHost);
  b.release();
  CHECK(b.record.state == AgentState::kFailed);
}

TEST_CASE("a stop is graceful, then a kill after stop_timeout, then again") {
  Bench b;
  b.run();
  b.desired.running = false;
  b.settle();
  CHECK(b.record.state == AgentState::kStopping);
  REQUIRE(b.did(Kind::kStop));
  CHECK(b.actions[0].grace == 5s);
  CHECK(b.actions[0].reason == "operator");
  b.pass(5s);
  CHECK(b.actions.empty());
  b.pass(kStopSlack);
  CHECK(b.did(Kind::kKill));
  b.pass(kKillAgain);
  CHECK(b.did(Kind::kKill));
  b.end(Blame::kFailure, Reason::kSignal);
  b.release();
  CHECK(b.record.state == AgentState::kStopped);
  CHECK(b.record.reason == Reason::kOperator);
}

TEST_CASE("a stop before the agent was executed kills, as soon as there is something to kill") {
  Bench b;
  b.settle();
  b.desired.running = false;
  b.settle();
  CHECK(b.record.state == AgentState::kStopping);
  REQUIRE(b.actions.size() == 1);  // whoever makes it hears once that it is not wanted any more
  CHECK(b.did(Kind::kCancel));
  SECTION("it was too late") {
    b.present();
    CHECK(b.did(Kind::kKill));
  }
  SECTION("it was heard") {
    b.end(Blame::kBlameless, Reason::kOperator);
    b.release();
    CHECK(b.record.state == AgentState::kStopped);
  }
}

TEST_CASE("an agent that may not start waits as pending, and in backoff, until it may") {
  Bench b;
  b.desired.may_start = false;
  b.settle();
  CHECK(b.record.state == AgentState::kPending);
  CHECK(b.actions.empty());
  b.desired.may_start = true;
  b.run();
  CHECK(b.record.state == AgentState::kRunning);
  b.end(Blame::kFailure);
  b.desired.may_start = false;
  b.release();
  b.now += 1h;
  b.settle();
  CHECK(b.record.state == AgentState::kBackoff);
  CHECK(b.actions.empty());
  b.desired.may_start = true;
  b.settle();
  CHECK(b.did(Kind::kStart));
}

TEST_CASE("a revision is proven by a run, or by exit code 0, and then not again") {
  Bench b;
  b.desired.proven = false;
  b.run();
  CHECK_FALSE(b.did(Kind::kProven));
  SECTION("a run") {
    REQUIRE(b.wake == b.now + kProvenAfter);
    b.now = *b.wake;
    b.settle();
    CHECK(b.did(Kind::kProven));
  }
  SECTION("exit code 0") {
    b.end(Blame::kSuccess);
    CHECK(b.did(Kind::kProven));
  }
  SECTION("not a failure") {
    b.end(Blame::kFailure);
    CHECK_FALSE(b.did(Kind::kProven));
  }
}

TEST_CASE("a revision that fails before it is proven is taken back, where one before it ran") {
  Bench b;
  b.desired.proven = false;
  b.desired.can_put_back = true;
  b.desired.readiness = {.self = true, .timeout = 10s};
  b.run();
  SECTION("it failed") { b.end(Blame::kFailure); }
  SECTION("it can never start") { b.end(Blame::kHopeless); }
  SECTION("it did not get ready") {
    b.now += 10s;
    b.settle();
    CHECK(b.did(Kind::kStop));
    b.end(Blame::kSuccess);
    CHECK(b.record.reason == Reason::kHealth);
  }
  CHECK(b.did(Kind::kPutBack));
  CHECK(b.record.state == AgentState::kStopping);
  ++b.desired.incarnation;  // the engine's answer
  b.desired.proven = true;
  b.desired.can_put_back = false;
  b.release();
  CHECK(b.did(Kind::kStart));
}

TEST_CASE("what is the host's doing takes no revision back") {
  Bench b;
  b.desired.proven = false;
  b.desired.can_put_back = true;
  b.run();
  b.end(Blame::kBlameless, Reason::kHost);
  CHECK_FALSE(b.did(Kind::kPutBack));
  CHECK(b.record.state == AgentState::kBackoff);
}

TEST_CASE("a new incarnation replaces a running agent, and forgives a failed one") {
  Bench b;
  b.run();
  b.desired.incarnation = 2;
  b.settle();
  REQUIRE(b.did(Kind::kStop));
  CHECK(b.actions[0].reason == "replace");
  b.end(Blame::kFailure);
  b.release();
  CHECK(b.record.state == AgentState::kPreparing);
  CHECK(b.record.generation.value == 2);
  b.run();
  b.end(Blame::kHopeless);
  b.release();
  REQUIRE(b.record.state == AgentState::kFailed);
  b.desired.incarnation = 3;
  b.settle();
  CHECK(b.record.state == AgentState::kPreparing);
}

TEST_CASE("a stop taken back before the agent ended starts a fresh instance") {
  Bench b;
  b.run();
  b.desired.running = false;
  b.settle();
  b.desired.running = true;
  b.desired.incarnation = 2;
  b.settle();
  CHECK(b.record.state == AgentState::kStopping);
  b.end(Blame::kSuccess);
  b.release();
  CHECK(b.record.state == AgentState::kPreparing);
}

TEST_CASE("readiness: running only once the agent says so, health when it does not in time") {
  Bench b;
  b.desired.readiness = {.self = true, .timeout = 30s};
  b.run();
  CHECK(b.record.state == AgentState::kStarting);
  SECTION("in time") {
    b.seen.ready = true;
    b.settle();
    CHECK(b.record.state == AgentState::kRunning);
  }
  SECTION("too late") {
    b.pass(30s);
    CHECK(b.record.state == AgentState::kStopping);
    CHECK(b.did(Kind::kStop));
    b.end(Blame::kSuccess);
    CHECK(b.record.state == AgentState::kBackoff);
    CHECK(b.record.reason == Reason::kHealth);
  }
}

TEST_CASE("a worker that never starts the agent is killed, reason worker") {
  Bench b;
  b.settle();
  b.present();
  b.pass(kExecTimeout);
  CHECK(b.did(Kind::kKill));
  b.end(Blame::kFailure, Reason::kLost);
  CHECK(b.record.state == AgentState::kBackoff);
  CHECK(b.record.reason == Reason::kWorker);
}

TEST_CASE("a closing host stops agents, which wait as pending and start with the next supervisor") {
  Bench b;
  b.run();
  b.desired.host_open = false;
  b.settle();
  REQUIRE(b.did(Kind::kStop));
  CHECK(b.actions[0].reason == "shutdown");
  b.end(Blame::kSuccess);
  b.release();
  CHECK(b.record.state == AgentState::kPending);
  b.desired.host_open = true;
  b.settle();
  CHECK(b.record.state == AgentState::kPreparing);
}

TEST_CASE("an instance that is gone after a restart of everything is started again, not counted") {
  Bench b;
  b.desired.restart.policy = RestartPolicy::kNever;
  b.record.state = GENERATE(AgentState::kPreparing, AgentState::kStarting, AgentState::kRunning);
  b.record.incarnation = 1;
  b.settle();
  CHECK(b.record.state == AgentState::kBackoff);
  CHECK(b.record.reason == Reason::kHost);
}

TEST_CASE("neither readiness nor its timeout counts before the start-up probe has succeeded") {
  Bench b;
  b.desired.startup_probe = true;
  b.desired.readiness = {.self = true, .timeout = 10s};
  b.run();
  CHECK(b.record.state == AgentState::kStarting);
  b.seen.ready = true;
  b.pass(1min);
  CHECK(b.record.state == AgentState::kStarting);
  b.seen.ready = false;
  b.seen.health.started = true;
  b.seen.health.started_at = b.now;
  b.settle();
  CHECK(b.record.state == AgentState::kStarting);
  CHECK(b.wake == b.now + 10s);
  SECTION("ready") {
    b.seen.ready = true;
    b.settle();
    CHECK(b.record.state == AgentState::kRunning);
  }
  SECTION("not in its time") {
    b.pass(10s);
    CHECK(b.record.state == AgentState::kStopping);
    CHECK(b.record.reason == Reason::kHealth);
    CHECK(b.record.message == "not ready within 10s");
  }
}

TEST_CASE("an agent with a readiness probe runs once it has succeeded, and runs on when it fails") {
  Bench b;
  b.desired.readiness = {.timeout = 10s, .probe = ExecProbe{}};
  b.run();
  b.seen.ready = true;  // its own word is not what is asked for
  b.settle();
  CHECK(b.record.state == AgentState::kStarting);
  b.seen.health.ready = true;
  b.settle();
  CHECK(b.record.state == AgentState::kRunning);
  b.seen.health.ready = false;
  b.pass(1h);
  CHECK(b.record.state == AgentState::kRunning);
}

TEST_CASE("a hung agent is stopped by its policy, counted, and started again with what was said") {
  Bench b;
  bool while_starting = GENERATE(true, false);
  b.desired.startup_probe = while_starting;
  b.run();
  CHECK(b.record.state == (while_starting ? AgentState::kStarting : AgentState::kRunning));
  b.seen.health.hung = "liveness probe: exit code 1 (3 of 3)";
  b.settle();
  CHECK(b.record.state == AgentState::kStopping);
  CHECK(b.record.reason == Reason::kHealth);
  REQUIRE(b.did(Kind::kStop));
  CHECK(b.actions.front().grace == 5s);
  CHECK(b.actions.front().reason == "health");
  b.end(Blame::kSuccess);  // however it ends
  CHECK(b.record.state == AgentState::kBackoff);
  CHECK(b.record.reason == Reason::kHealth);
  CHECK(b.record.message == "liveness probe: exit code 1 (3 of 3); restart 1 of 5");
  CHECK(b.record.failures == 1);
}

TEST_CASE("a hung worker is the reason, when it is one") {
  Bench b;
  b.run();
  b.seen.health = {.hung = "its worker has not beaten for 12s", .worker_hung = true};
  b.settle();
  CHECK(b.record.reason == Reason::kWorker);
  b.pass(7s);
  CHECK(b.did(Kind::kKill));
  b.end(Blame::kFailure);
  CHECK(b.record.reason == Reason::kWorker);
  CHECK(b.record.message == "its worker has not beaten for 12s; restart 1 of 5");
}

TEST_CASE("an operator's stop counts more than a hung agent") {
  Bench b;
  b.run();
  b.seen.health.hung = "no beat for 30s";
  b.desired.running = false;
  b.settle();
  CHECK(b.record.reason == Reason::kOperator);
  b.end(Blame::kFailure);
  b.release();
  CHECK(b.record.state == AgentState::kStopped);
}

TEST_CASE("an agent that went with its supervisor does not wait longer each time") {
  Bench b;
  b.desired.restart.policy = RestartPolicy::kNever;
  b.run();
  for (int deaths = 0; deaths < 10; ++deaths) {
    b.seen = {};  // all that was there is gone
    b.settle();
    REQUIRE(b.record.state == AgentState::kBackoff);
    CHECK(b.record.due - b.now == b.desired.restart.initial);
    b.now = b.record.due;
    b.run();
    REQUIRE(b.record.state == AgentState::kRunning);
  }
}
