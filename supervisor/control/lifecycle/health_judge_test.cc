#include "supervisor/control/lifecycle/health_judge.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::control;
using namespace std::chrono_literals;

namespace {

ExecProbe probe(std::uint32_t failures, Nanos every = 10s, Nanos timeout = 1s) {
  return {.command = {"check"}, .every = every, .timeout = timeout, .failures = failures};
}

// A page that a test writes by hand, and time that it moves.
struct Bench {
  AgentSpec spec;
  HealthSnapshot page{.judged = true};
  CgroupStrain strain;
  HealthJudge::Now now{1000s, 5000s};
  std::optional<HealthJudge> judge;
  std::vector<std::string> events;
  HealthReport last;

  HealthJudge& the_judge(bool adopted = false) {
    if (!judge) judge.emplace(spec, now.monotonic, adopted);
    return *judge;
  }
  void pass(Nanos time) {
    now.monotonic += time;
    now.boot += time;
  }
  void look(bool beats = true) {
    if (beats) page.heartbeat = now.boot;
    HealthJudge& it = the_judge();
    bool wanted = it.wants_samples();
    if (wanted) it.sample(strain, now);
    it.see(page, now);
    if (!wanted && it.wants_samples()) it.sample(strain, now);
    last = it.report(now);
    events.insert(events.end(), last.events.begin(), last.events.end());
  }
  // A run that began `took` ago ends now.
  void run(ProbeKind kind, ProbeOutcome outcome, std::uint32_t value = 0, Nanos took = 10ms) {
    SeenProbe& seen = page.probes[static_cast<std::size_t>(kind)];
    bool good = outcome == ProbeOutcome::kSucceeded;
    ++seen.runs;
    seen.failures = good ? 0 : seen.failures + 1;
    seen.succeeded = seen.succeeded || good;
    seen.outcome = outcome;
    seen.value = value;
    seen.begin = now.monotonic - took;
    seen.end = now.monotonic;
    look();
  }
  // One that hangs; `throttled` of the time after a quarter of it is the group's.
  void hang(ProbeKind kind, double throttled, Nanos timeout = 1s) {
    pass(timeout / 4);
    the_judge().sample(strain, now);
    Nanos rest = timeout - timeout / 4;
    pass(rest);
    strain.throttled_nanos +=
        static_cast<std::uint64_t>(static_cast<double>(rest.count()) * throttled);
    run(kind, ProbeOutcome::kTimedOut, 0, timeout);
  }
  const Health& health() const { return last.health; }
};

constexpr ProbeKind kStartup = ProbeKind::kStartup;
constexpr ProbeKind kReadiness = ProbeKind::kReadiness;
constexpr ProbeKind kLiveness = ProbeKind::kLiveness;
constexpr ProbeOutcome kGood = ProbeOutcome::kSucceeded;
constexpr ProbeOutcome kBad = ProbeOutcome::kExited;

}  // namespace

TEST_CASE(
    "so many failures of the liveness probe in a row end the agent, and the message says what") {
  Bench b;
  b.spec.liveness.probe = probe(3);
  b.look();
  CHECK(b.last.view.liveness == "unknown");
  b.run(kLiveness, kGood);
  CHECK(b.last.view.liveness == "ok");
  b.run(kLiveness, kBad, 1);
  b.run(kLiveness, kBad, 1);
  CHECK(b.last.view.liveness == "failing (2 of 3)");
  CHECK(b.health().hung.empty());
  b.run(kLiveness, kGood);
  CHECK(b.last.view.liveness == "ok");
  for (int i = 0; i < 2; ++i) b.run(kLiveness, kBad, 1);
  b.judge->hear_output(kLiveness, "no answer");
  b.run(kLiveness, kBad, 7);
  CHECK(b.health().hung == "liveness probe: exit code 7: no answer (3 of 3)");
  CHECK_FALSE(b.health().worker_hung);
}

TEST_CASE("the first failure of a row and its end are events, and no more than ten at once") {
  Bench b;
  b.spec.liveness.probe = probe(1000);
  for (int i = 0; i < 3; ++i) b.run(kLiveness, kBad, 1);
  b.run(kLiveness, kGood);
  CHECK(b.events ==
        std::vector<std::string>{"liveness probe: exit code 1", "liveness probe: ok again"});
  for (int i = 0; i < 100; ++i) b.run(kLiveness, i % 2 == 0 ? kBad : kGood);
  CHECK(b.events.size() == 10);
}

TEST_CASE("a readiness probe ends nothing: it says whether the agent is ready") {
  Bench b;
  b.spec.readiness.probe = probe(2);
  b.look();
  CHECK_FALSE(b.health().ready);
  b.run(kReadiness, kGood);
  CHECK(b.health().ready);
  b.run(kReadiness, kBad);
  CHECK(b.health().ready);
  b.run(kReadiness, kBad);
  CHECK_FALSE(b.health().ready);
  for (int i = 0; i < 50; ++i) b.run(kReadiness, kBad);
  CHECK(b.health().hung.empty());
  CHECK(b.last.view.readiness == "failing (2 of 2)");
  b.run(kReadiness, kGood);
  CHECK(b.health().ready);
}

TEST_CASE("a start-up probe succeeds once, or ends the agent") {
  Bench b;
  b.spec.startup = probe(3);
  SECTION("succeeds") {
    b.run(kStartup, kBad);
    CHECK_FALSE(b.health().started);
    b.pass(3s);
    b.run(kStartup, kGood);
    CHECK(b.health().started);
    CHECK(b.health().started_at == b.now.monotonic);
  }
  SECTION("fails") {
    for (int i = 0; i < 3; ++i) b.run(kStartup, ProbeOutcome::kSignaled, 9);
    CHECK(b.health().hung == "start-up probe: killed by SIGKILL (3 of 3)");
  }
}

TEST_CASE("runs that control did not hear of are counted by what the page says of them") {
  Bench b;
  b.spec.liveness.probe = probe(5);
  b.run(kLiveness, kGood);
  SeenProbe& seen = b.page.probes[2];
  SECTION("all of them failed") {
    seen.runs += 3, seen.failures = 3, seen.outcome = kBad;
    b.look();
    CHECK(b.last.view.liveness == "failing (3 of 5)");
  }
  SECTION("one of them was good") {
    b.run(kLiveness, kBad);
    seen.runs += 10, seen.failures = 2, seen.outcome = kBad;
    b.look();
    CHECK(b.last.view.liveness == "failing (2 of 5)");
  }
  SECTION("more of them failed than may") {
    seen.runs += 7, seen.failures = 7, seen.outcome = kBad, seen.value = 1;
    b.look();
    CHECK(b.health().hung == "liveness probe: exit code 1 (5 of 5)");
  }
}

TEST_CASE("a probe that hangs while its group is throttled is not counted, ten times in a row") {
  Bench b;
  b.spec.liveness.probe = probe(3);
  b.look();
  for (int i = 0; i < 10; ++i) {
    b.hang(kLiveness, 0.9);
    CHECK(b.last.view.message.find("starved of CPU: not counted") != std::string::npos);
  }
  CHECK(b.health().hung.empty());
  for (int i = 0; i < 3; ++i) b.hang(kLiveness, 0.9);
  CHECK(b.health().hung ==
        "liveness probe: no end within 1s; the agent was starved of CPU (3 of 3)");
}

TEST_CASE("an equally slow one that had its CPU is counted") {
  Bench b;
  b.spec.liveness.probe = probe(3);
  b.look();
  for (int i = 0; i < 3; ++i) b.hang(kLiveness, 0.2);
  CHECK(b.health().hung == "liveness probe: no end within 1s (3 of 3)");
}

TEST_CASE("a failure that no lack of CPU explains is counted though the group is throttled") {
  Bench b;
  b.spec.liveness.probe = probe(2);
  for (int i = 0; i < 2; ++i) {
    b.pass(1s);
    b.strain.throttled_nanos += 1'000'000'000;
    b.run(kLiveness, kBad, 1);
  }
  CHECK_FALSE(b.health().hung.empty());
}

TEST_CASE(
    "pressure of the group (PSI) counts as throttling does, and so does a worker that was late") {
  Bench b;
  b.spec.liveness.probe = probe(1);
  b.look();
  SECTION("pressure") {
    b.the_judge().sample(b.strain, b.now);
    b.pass(1s);
    b.strain.starved_nanos += 900'000'000;
    b.run(kLiveness, ProbeOutcome::kTimedOut, 0, 1s);
  }
  SECTION("late") {
    b.pass(3s);
    b.run(kLiveness, ProbeOutcome::kTimedOut, 0, 3s);
  }
  CHECK(b.health().hung.empty());
}

TEST_CASE("what a frozen agent leaves undone is never counted") {
  Bench b;
  b.spec.liveness.probe = probe(1);
  b.look();
  for (int i = 0; i < 50; ++i) {
    b.the_judge().sample(b.strain, b.now);
    b.pass(1s);
    b.strain.frozen_nanos += 900'000'000;
    b.run(kLiveness, ProbeOutcome::kTimedOut, 0, 1s);
  }
  CHECK(b.health().hung.empty());
}

TEST_CASE("an agent that does not beat in its time is hung") {
  Bench b;
  b.spec.liveness.beat = 30s;
  b.look();
  CHECK(b.last.view.liveness == "unknown");
  b.pass(29s);
  b.look();
  CHECK(b.health().hung.empty());
  b.page.agent_beat = b.now.monotonic;
  b.look();
  CHECK(b.last.view.liveness == "ok");
  b.pass(29s);
  b.look();
  CHECK(b.health().hung.empty());
  b.pass(1s);
  b.look();
  CHECK(b.health().hung == "no beat for 30s");
}

TEST_CASE("a beat that is missing while the group is throttled or frozen is waited for") {
  Bench b;
  b.spec.liveness.beat = 30s;
  b.look();
  auto window = [&](std::uint64_t CgroupStrain::* what) {
    for (int i = 0; i < 6; ++i) {
      b.pass(5s);
      b.strain.*what += 4'000'000'000;
      b.look();
    }
  };
  SECTION("throttled: ten times") {
    for (int i = 0; i < 10; ++i) window(&CgroupStrain::throttled_nanos);
    CHECK(b.health().hung.empty());
    window(&CgroupStrain::throttled_nanos);
    CHECK(b.health().hung == "no beat for 30s; the agent was starved of CPU");
  }
  SECTION("frozen: as long as it is") {
    for (int i = 0; i < 100; ++i) window(&CgroupStrain::frozen_nanos);
    CHECK(b.health().hung.empty());
    for (int i = 0; i < 8; ++i) b.pass(5s), b.look();
    CHECK_FALSE(b.health().hung.empty());
  }
}

TEST_CASE("beats are not judged before the start-up probe has succeeded") {
  Bench b;
  b.spec.startup = probe(30);
  b.spec.liveness.beat = 10s;
  b.look();
  b.pass(60s);
  b.look();
  CHECK(b.health().hung.empty());
  b.run(kStartup, kGood);
  b.pass(9s);
  b.look();
  CHECK(b.health().hung.empty());
  b.pass(1s);
  b.look();
  CHECK_FALSE(b.health().hung.empty());
}

TEST_CASE("a worker without a heartbeat for ten seconds is hung, unless it had no CPU") {
  Bench b;
  b.look();
  auto silent = [&](std::uint64_t throttled, int seconds) {
    for (int i = 0; i < seconds; i += 5) {
      b.pass(5s);
      b.strain.throttled_nanos += throttled;
      b.look(false);
    }
  };
  SECTION("hung") {
    silent(0, 15);
    CHECK(b.health().worker_hung);
    CHECK(b.health().hung == "its worker has not beaten for 10s");
  }
  SECTION("throttled") {
    silent(4'500'000'000, 40);
    CHECK(b.health().hung.empty());
  }
  SECTION("frozen") {
    b.strain.frozen = true;
    silent(0, 600);
    CHECK(b.health().hung.empty());
  }
  SECTION("the host slept: its old heartbeat is given time") {
    b.now.boot += 3600s;
    b.look(false);
    CHECK(b.health().hung.empty());
    b.pass(1s);
    b.look();
    CHECK(b.health().hung.empty());
  }
}

TEST_CASE("what an earlier control saw is taken over, and alone ends nothing") {
  Bench b;
  b.spec.startup = probe(30);
  b.spec.readiness.probe = probe(2);
  b.spec.liveness.probe = probe(3);
  b.page.probes[0] = {.runs = 4, .failures = 0, .succeeded = true, .outcome = kGood, .end = 900s};
  b.page.probes[1] = {.runs = 9, .failures = 7, .succeeded = true, .outcome = kBad};
  b.page.probes[2] = {.runs = 9, .failures = 7, .succeeded = true, .outcome = kBad, .value = 1};
  b.the_judge(true);
  b.look();
  CHECK(b.health().started);
  CHECK(b.health().started_at == 900s);
  CHECK_FALSE(b.health().ready);
  CHECK(b.health().hung.empty());
  CHECK(b.last.view.liveness == "failing (2 of 3)");
  b.run(kLiveness, kBad, 1);
  CHECK_FALSE(b.health().hung.empty());
}

TEST_CASE("a worker that cannot run probes leaves the agent unjudged, and that shows") {
  Bench b;
  b.spec.startup = probe(1);
  b.spec.readiness.probe = probe(1);
  b.spec.liveness.beat = 1s;
  b.the_judge().cannot_judge();
  b.page = {};
  b.pass(1h);
  b.look();
  CHECK(b.health().started);
  CHECK(b.health().ready);
  CHECK(b.health().hung.empty());
  CHECK(b.last.view.liveness == "unknown");
  CHECK(b.last.view.startup == "unknown");
}
