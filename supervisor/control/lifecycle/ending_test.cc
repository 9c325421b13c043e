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
Launched program(const char* executable) { return {.executable = executable}; }

}  // namespace

TEST_CASE("the status page tells how the agent ended") {
  Ending ok = ending_of(kClean, page(ExitKind::kExited, 0), program("python3"));
  CHECK(ok.blame == Blame::kSuccess);
  CHECK(ok.exit_code == 0);
  Ending three = ending_of(kClean, page(ExitKind::kExited, 3), program("python3"));
  CHECK(three.blame == Blame::kFailure);
  CHECK(three.message == "exit code 3");
  Ending fault = ending_of(kClean, page(ExitKind::kSignaled, SIGSEGV), program("python3"));
  CHECK(fault.reason == Reason::kSignal);
  CHECK(fault.message == "killed by SIGSEGV");
}

TEST_CASE("a program that cannot be executed is hopeless, named with its error") {
  Ending ending =
      ending_of(kClean, page(ExitKind::kExecFailed, ENOENT), program("/usr/bin/python3"));
  CHECK(ending.blame == Blame::kHopeless);
  CHECK(ending.message == "cannot execute /usr/bin/python3: No such file or directory");
  CHECK(ending_of(kClean, page(ExitKind::kExecFailed, EAGAIN), program("x")).blame ==
        Blame::kFailure);
}

TEST_CASE("memory is the reason only when it was what killed") {
  InstanceExit oom = kClean;
  oom.oom_kills = 2;
  CHECK(ending_of(oom, page(ExitKind::kSignaled, SIGKILL), program("x")).reason == Reason::kOom);
  CHECK(ending_of(oom, std::nullopt, program("x")).reason == Reason::kOom);
  CHECK(ending_of(oom, page(ExitKind::kNone, 0), program("x")).reason == Reason::kOom);
  Ending survived = ending_of(oom, page(ExitKind::kExited, 1), program("x"));
  CHECK(survived.reason == Reason::kExitCode);
  CHECK(survived.message == "exit code 1; 2 processes were killed for memory");
}

TEST_CASE("a runtime that gives up for want of memory ends with reason oom") {
  const Launched node{.executable = "/usr/bin/node",
                      .out_of_memory = {.signal = SIGABRT, .permille = 500, .said = "heap full"},
                      .memory_bytes = 1000};
  InstanceExit exit = kClean;
  exit.memory_peak = 500;
  Ending ending = ending_of(exit, page(ExitKind::kSignaled, SIGABRT), node);
  CHECK(ending.reason == Reason::kOom);
  CHECK(ending.message == "out of memory: heap full (SIGABRT)");
  SECTION("not when it had memory left: then it aborted for another reason") {
    exit.memory_peak = 499;
    CHECK(ending_of(exit, page(ExitKind::kSignaled, SIGABRT), node).reason == Reason::kSignal);
  }
  SECTION("not by another signal or an exit code of the same number") {
    CHECK(ending_of(exit, page(ExitKind::kSignaled, SIGSEGV), node).reason == Reason::kSignal);
    CHECK(ending_of(exit, page(ExitKind::kExited, SIGABRT), node).reason == Reason::kExitCode);
  }
  SECTION("nor by an exit code, but where its engine has one for it") {
    Launched wasm = node;
    wasm.out_of_memory = {.exit_code = 137, .permille = 0, .said = "no memory was left"};
    Ending full = ending_of(exit, page(ExitKind::kExited, 137), wasm);
    CHECK(full.reason == Reason::kOom);
    CHECK(full.message == "out of memory: no memory was left (exit code 137)");
    CHECK(ending_of(exit, page(ExitKind::kExited, 134), wasm).reason == Reason::kExitCode);
    CHECK(ending_of(exit, page(ExitKind::kSignaled, SIGABRT), wasm).reason == Reason::kSignal);
  }
  SECTION("not where the runtime has no such way") {
    CHECK(ending_of(exit, page(ExitKind::kSignaled, SIGABRT), program("x")).reason ==
          Reason::kSignal);
  }
}

TEST_CASE(
    "a worker that dies without a record is the reason worker, one that nobody saw end is lost") {
  InstanceExit killed = kClean;
  killed.signaled = true;
  killed.value = SIGKILL;
  Ending ending = ending_of(killed, page(ExitKind::kNone, 0), program("x"));
  CHECK(ending.reason == Reason::kWorker);
  CHECK(ending.message == "its worker was killed by SIGKILL");
  CHECK(ending_of({.status_known = false}, std::nullopt, program("x")).reason == Reason::kLost);
}

TEST_CASE("what flodead killed it for counts more than how it died") {
  InstanceExit exit = kClean;
  exit.killed_by = "vault lost";
  CHECK(ending_of(exit, page(ExitKind::kSignaled, SIGKILL), program("x")).blame ==
        Blame::kBlameless);
  exit.killed_by = "deadline";
  CHECK(ending_of(exit, std::nullopt, program("x")).reason == Reason::kPolicy);
}

TEST_CASE("a start that cannot get better by itself is not tried again") {
  CHECK(ending_of_failed_start({.code = Code::kDataLoss, .message = "wrong node key"}).blame ==
        Blame::kHopeless);
  CHECK(
      ending_of_failed_start({.code = Code::kUnavailable, .message = "the vault is away"}).blame ==
      Blame::kBlameless);
}
