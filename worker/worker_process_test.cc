// The real program, as PID 1 of real namespaces, with real agents and a control of the test's own.
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/syscall.h>

#include <catch2/catch_test_macros.hpp>

#include "base/clock.h"
#include "worker/testing/fake_control.h"
#include "worker/testing/worker_harness.h"

namespace flodea::worker::testing {
namespace v1 = flodea::attach::v1;
namespace {

using From = v1::FromWorker;

// What a test agent needs to speak JSON-RPC without the SDK.
const std::string kPrelude = R"(
import os, socket, json, sys, time
s = socket.socket(fileno=int(os.environ["FLODEA_FD"]))
f = s.makefile("rb")
def send(**m): s.sendall((json.dumps({"jsonrpc": "2.0", **m}) + "\n").encode())
def reply(): return json.loads(f.readline())
def call(method, params={}, **more):
    send(id=1, method=method, params=params, **more)
    return reply()
)";

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().describe());
  return std::move(*result);
}

WorkerHarness start_worker(HarnessOptions options = {}) {
  options.worker = FLODEA_WORKER;
  return must(WorkerHarness::start(options));
}

struct Running {
  FakeModules modules;
  WorkerHarness worker;
  std::unique_ptr<FakeControl> control;

  explicit Running(const v1::LaunchPlan& plan, HarnessOptions options = {})
      : worker(start_worker(std::move(options))) {
    attach(1, plan);
  }
  void attach(std::uint64_t epoch, const std::optional<v1::LaunchPlan>& plan = std::nullopt) {
    auto socket = must(worker.attach(epoch, plan));
    control = std::make_unique<FakeControl>(std::move(socket), modules);
  }
  ~Running() {
    for (Gate* gate : {&modules.sleep, &modules.put, &modules.commit, &modules.stop}) gate->open();
  }
};

std::string text_of(const std::vector<LogFrame>& frames) {
  std::string out;
  for (const auto& frame : frames) out += frame.text + "\n";
  return out;
}

}  // namespace

TEST_CASE("an agent runs, calls a module, logs, and its end is reported and recorded") {
  Running agent(python_plan(kPrelude + R"(
print(call("flodea.kernel.v1.Clock/Now")["result"]["wallNanos"] > "0")
print("to stderr", file=sys.stderr)
print("no newline at the end", end="")
sys.exit(3)
)"));
  auto hello = must(agent.worker.receive());
  REQUIRE(hello.has_hello());
  CHECK(hello.epoch() == 1);
  CHECK(hello.hello().agent_running());
  auto started = must(agent.worker.receive(From::kStarted));
  CHECK(started.started().exec_boottime_ns() > 0);
  CHECK(started.started().phases_size() == 3);
  auto exited = must(agent.worker.receive(From::kExited));
  CHECK_FALSE(exited.exited().signaled());
  CHECK(exited.exited().value() == 3);
  CHECK(must(agent.worker.ended(5000)));

  auto status = must(agent.worker.status());
  CHECK(status.exit_kind == ExitKind::kExited);
  CHECK(status.exit_value == 3);
  CHECK(status.exit_time > Nanos(0));
  CHECK(status.phase == WorkerPhase::kExited);
  CHECK(status.calls == 1);
  CHECK(status.heartbeat > Nanos(0));

  auto logs = agent.worker.remaining_logs();
  CHECK(logs.size() == 3);
  std::uint64_t seq = 0;
  for (const auto& frame : logs) CHECK(frame.seq == ++seq);
  CHECK(status.log_seq == 3);
  CHECK(text_of(logs).find("True\n") != std::string::npos);
  CHECK(text_of(logs).find("no newline at the end\n") != std::string::npos);
}

}  // namespace flodea::worker::testing
