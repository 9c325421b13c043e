#include "supervisor/control/lifecycle/ending.h"

#include <cerrno>
#include <csignal>

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::control;

namespace {

StatusSnapshot page(ExitKind kind, std::uint32_t value) {
  StatusSnapshot out;
  out.exit_kind = kind;
  out.exit_value = value;
  return out;
}
const InstanceExit kClean{.status_known = true};

}  // namespace

TEST_CASE("the status page tells how the agent ended") {
  Ending ok = ending_of(kClean, page(ExitKind::kExited, 0), "python3");
  CHECK(ok.blame == Blame::kSuccess);
  CHECK(ok.exit_code == 0);
  Ending three = ending_of(kClean, page(ExitKind::kExited, 3), "python3");
  CHECK(three.blame == Blame::kFailure);
  CHECK(three.message == "exit code 3");
  Ending fault = ending_of(kClean, page(ExitKind::kSignaled, SIGSEGV), "python3");
  CHECK(fault.reason == Reason::kSignal);
  CHECK(fault.message == "killed by SIGSEGV");
}

TEST_CASE("a program that cannot be executed is hopeless, named with its error") {
  Ending ending = ending_of(kClean, page(ExitKind::kExecFailed, ENOENT), "/usr/bin/python3");
  CHECK(ending.blame == Blame::kHopeless);
  CHECK(ending.message == "cannot execute /usr/bin/python3: No such file or directory");
  CHECK(ending_of(kClean, page(ExitKind::kExecFailed, EAGAIN), "x").blame == Blame::kFailure);
}

TEST_CASE("memory is the reason only when it was what killed") {
  InstanceExit oom = kClean;
  oom.oom_kills = 2;
  CHECK(ending_of(oom, page(ExitKind::kSignaled, SIGKILL), "x").reason == Reason::kOom);
  CHECK(ending_of(oom, std::nullopt, "x").reason == Reason::kOom);
  CHECK(ending_of(oom, page(ExitKind::kNone, 0), "x").reason == Reason::kOom);
  Ending survived = ending_of(oom, page(ExitKind::kExited, 1), "x");
  CHECK(survived.reason == Reason::kExitCode);
  CHECK(survived.message == "exit code 1; 2 processes were killed for memory");
}

TEST_CASE(
    "a worker that dies without a record is the reason worker, one that nobody saw end is lost") {
  InstanceExit killed = kClean;
  killed.signaled = true;
  killed.value = SIGKILL;
  Ending ending = ending_of(killed, page(ExitKind::kNone, 0), "x");
  CHECK(ending.reason == Reason::kWorker);
  CHECK(ending.message == "its worker was killed by SIGKILL");
  CHECK(ending_of({.status_known = false}, std::nullopt, "x").reason == Reason::kLost);
}

TEST_CASE("what flodead killed it for counts more than how it died") {
  InstanceExit exit = kClean;
  exit.killed_by = "vault lost";
  CHECK(ending_of(exit, page(ExitKind::kSignaled, SIGKILL), "x").blame == Blame::kBlameless);
  exit.killed_by = "deadline";
  CHECK(ending_of(exit, std::nullopt, "x").reason == Reason::kPolicy);
}

TEST_CASE("a start that cannot get better by itself is not tried again") {
  CHECK(ending_of_failed_start({.code = Code::kDataLoss, .message = "wrong node key"}).blame ==
        Blame::kHopeless);
  CHECK(
      ending_of_failed_start({.code = Code::kUnavailable, .message = "the vault is away"}).blame ==
      Blame::kBlameless);
}
