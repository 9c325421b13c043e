// Probes of the real worker, as PID 1 of real namespaces: who runs them, with what rights, and what
// an agent can do to them.
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

#include "tests/support/temporary_dir.h"
#include "worker/testing/fake_control.h"
#include "worker/testing/worker_harness.h"

namespace flodea::worker::testing {
namespace v1 = flodea::attach::v1;
namespace {

using From = v1::FromWorker;
using Words = std::vector<std::string>;

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().describe());
  return std::move(*result);
}

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::chrono::milliseconds kGuard{kGuardMs};

void add_probe(v1::LaunchPlan& plan, v1::ProbeKind kind, const Words& command,
               std::uint64_t timeout_ms = 5000) {
  v1::Probe& probe = *plan.add_probes();
  probe.set_kind(kind);
  for (const std::string& word : command) probe.add_command(word);
  probe.set_every_ns(100 * kMillisecond);
  probe.set_first_every_ns(100 * kMillisecond);
  probe.set_timeout_ns(timeout_ms * kMillisecond);
}

v1::LaunchPlan plan_with(const Words& command, std::uint64_t timeout_ms = 5000,
                         const std::string& agent = "import signal\nsignal.pause()") {
  v1::LaunchPlan plan = python_plan(agent);
  add_probe(plan, v1::PROBE_KIND_LIVENESS, command, timeout_ms);
  return plan;
}

struct Running {
  FakeModules modules;
  WorkerHarness worker;
  std::unique_ptr<FakeControl> control;

  explicit Running(const v1::LaunchPlan& plan, HarnessOptions options = {})
      : worker(start(std::move(options))) {
    control = std::make_unique<FakeControl>(must(worker.attach(1, plan)), modules);
  }
  static WorkerHarness start(HarnessOptions options) {
    options.worker = FLODEA_WORKER;
    return must(WorkerHarness::start(options));
  }
  // The next result that is told: its outcome and what was printed.
  struct Told {
    SeenProbe seen;
    std::string output;
  };
  Told result(ProbeKind kind = ProbeKind::kLiveness) {
    for (;;) {
      auto message = must(worker.receive(From::kProbeResult)).probe_result();
      if (message.kind() != static_cast<int>(kind) + 1) continue;
      return {seen(kind), message.output()};
    }
  }
  // The page may be ahead of what is told, and a machine that stands still adds failures: the first
  // result for which `wanted` holds.
  Told result_when(const std::function<bool(const Told&)>& wanted,
                   ProbeKind kind = ProbeKind::kLiveness) {
    for (auto deadline = std::chrono::steady_clock::now() + kGuard;;) {
      Told told = result(kind);
      if (wanted(told)) return told;
      if (std::chrono::steady_clock::now() > deadline) FAIL("no such result");
    }
  }
  Told result_with(ProbeOutcome outcome, ProbeKind kind = ProbeKind::kLiveness) {
    return result_when([&](const Told& told) { return told.seen.outcome == outcome; }, kind);
  }
  SeenProbe seen(ProbeKind kind) const {
    return must(worker.health()).probes[static_cast<std::size_t>(kind)];
  }
};

// Of a process that this test sees from outside of the sandbox.
std::string status_of(pid_t pid, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return line.substr(key.size() + 1);
  return "";
}

std::vector<pid_t> children_of(pid_t pid) {
  std::string name = std::to_string(pid);
  std::ifstream file("/proc/" + name + "/task/" + name + "/children");
  std::vector<pid_t> out;
  for (pid_t child; file >> child;) out.push_back(child);
  return out;
}

pid_t prober_of(const Running& agent) {
  for (pid_t child : children_of(agent.worker.process().pid()))
    if (status_of(child, "Name") == "\tflodea-prober") return child;
  return 0;
}

}  // namespace

TEST_CASE("a probe is run in the agent's directory and environment, found in its PATH") {
  Running agent(plan_with({"sh", "-c", "echo \"$0 $PWD $PATH ${FLODEA_FD-none}\"; exit 7", "it"}));
  auto told = agent.result();
  CHECK(told.seen.outcome == ProbeOutcome::kExited);
  CHECK(told.seen.value == 7);
  CHECK(told.output == "it / /usr/bin none\n");
  CHECK(must(agent.worker.health()).judged);
}

TEST_CASE("a success is told once, and then only in the status page") {
  Running agent(plan_with({"/bin/true"}));
  CHECK(agent.result().seen.outcome == ProbeOutcome::kSucceeded);
  auto runs = [&] { return agent.seen(ProbeKind::kLiveness).runs; };
  std::uint64_t wanted = runs() + 3;
  auto deadline = std::chrono::steady_clock::now() + kGuard;
  while (runs() < wanted && std::chrono::steady_clock::now() < deadline)
    REQUIRE_FALSE(agent.worker.receive(From::kProbeResult, 100).has_value());
  CHECK(runs() >= wanted);
}

TEST_CASE("of what a probe prints the last 256 bytes are kept") {
  Running agent(
      plan_with({"sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end >&2; exit 1"}));
  auto told = agent.result();
  CHECK(told.output == std::string(252, 'x') + "end\n");
}

TEST_CASE("a program that is not there fails with 127, as in a shell") {
  Running agent(plan_with({"no-such-program"}));
  auto told = agent.result();
  CHECK(told.seen.outcome == ProbeOutcome::kExited);
  CHECK(told.seen.value == 127);
  CHECK(told.output == "cannot execute no-such-program: No such file or directory");
}

TEST_CASE("a hanging probe is said to be slow, and killed at its timeout with its children") {
  Running agent(plan_with({"sh", "-c", "sleep 3600 & echo $!; wait"}, 400));
  must(agent.worker.receive(From::kProbeSlow));
  // One that got no CPU for so long has printed nothing.
  auto told = agent.result_when([](const auto& it) { return !it.output.empty(); });
  CHECK(told.seen.outcome == ProbeOutcome::kTimedOut);
  Nanos took = told.seen.end - told.seen.begin;
  CHECK(took >= std::chrono::milliseconds(400));
  // Its `sleep` was killed with it: of five runs the last one's alone may still be dying.
  for (int i = 0; i < 4; ++i) agent.result();
  agent.result_when([&](const auto&) {
    int sleeping = 0;
    for (pid_t child : children_of(agent.worker.process().pid()))  // orphans are the worker's
      if (status_of(child, "Name") == "\tsleep") ++sleeping;
    return sleeping <= 1;
  });
}

TEST_CASE("the other probes wait for the start-up probe's first success") {
  TemporaryDir directory;
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0711));  // for the agent
  auto plan = python_plan("import signal\nsignal.pause()");
  add_probe(plan, v1::PROBE_KIND_LIVENESS, {"/bin/false"});
  add_probe(plan, v1::PROBE_KIND_READINESS, {"/bin/true"});
  add_probe(plan, v1::PROBE_KIND_STARTUP, {"test", "-e", directory / "go"});
  Running agent(plan);
  for (int i = 0; i < 2; ++i)
    CHECK(agent.result(ProbeKind::kStartup).seen.outcome == ProbeOutcome::kExited);
  CHECK(agent.seen(ProbeKind::kReadiness).runs == 0);
  CHECK(agent.seen(ProbeKind::kLiveness).runs == 0);
  std::ofstream(directory / "go") << "";
  CHECK(agent.result_with(ProbeOutcome::kSucceeded, ProbeKind::kStartup).seen.succeeded);
  CHECK(agent.result().seen.outcome == ProbeOutcome::kExited);
}

TEST_CASE("the prober has the agent's rights and no more, and no descriptor of the worker's") {
  auto plan = plan_with({"/bin/true"});
  plan.mutable_probes(0)->set_every_ns(3'600'000 * kMillisecond);  // a run has descriptors more
  Running agent(plan);
  agent.result_with(ProbeOutcome::kSucceeded);
  pid_t prober = prober_of(agent);
  REQUIRE(prober != 0);
  pid_t its_agent = children_of(agent.worker.process().pid()).front();
  REQUIRE(its_agent != prober);
  for (const char* key : {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
                          "NoNewPrivs", "Seccomp", "Seccomp_filters", "NSpid"}) {
    INFO(key);
    if (std::string(key) != "NSpid") CHECK(status_of(prober, key) == status_of(its_agent, key));
    CHECK_FALSE(status_of(prober, key).empty());
  }
  CHECK(status_of(prober, "CapEff") == "\t0000000000000000");
  CHECK(status_of(prober, "NoNewPrivs") == "\t1");
  CHECK(status_of(prober, "Seccomp") == "\t2");
  auto limits = [](pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/limits");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  };
  CHECK(limits(prober) == limits(its_agent));
  int descriptors = 0;
  for (int fd = 0; fd < 256; ++fd) {
    std::string path = "/proc/" + std::to_string(prober) + "/fdinfo/" + std::to_string(fd);
    if (std::ifstream(path)) ++descriptors;
  }
  CHECK(descriptors == 4);  // /dev/null three times, and its socket
}

TEST_CASE("an agent that kills the prober harms its own health alone") {
  // It ends all that it may signal but itself; the worker is not among it.
  Running agent(plan_with({"/bin/true"}, 5000, R"(
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: os.kill(-1, signal.SIGKILL))
print("up")
while True: signal.pause()
)"));
  CHECK(agent.result().seen.outcome == ProbeOutcome::kSucceeded);
  must(agent.worker.logs_until("up"));
  REQUIRE(prober_of(agent) != 0);
  ::kill(children_of(agent.worker.process().pid()).front(), SIGUSR1);
  for (int i = 1; i <= 3; ++i) {
    auto told = agent.result();
    CHECK(told.seen.outcome == ProbeOutcome::kNoProber);
    CHECK(told.seen.failures >= static_cast<std::uint32_t>(i));
  }
  CHECK_FALSE(must(agent.worker.ended(0)));
  CHECK(must(agent.worker.status()).exit_kind == ExitKind::kNone);
}

TEST_CASE("a prober that is stopped does not answer, and that is a failure within a second") {
  Running agent(plan_with({"/bin/true"}, 100));
  agent.result_with(ProbeOutcome::kSucceeded);
  pid_t prober = prober_of(agent);
  ::kill(prober, SIGSTOP);
  agent.result_with(ProbeOutcome::kNoAnswer);
  CHECK(agent.result().seen.outcome == ProbeOutcome::kNoAnswer);
  ::kill(prober, SIGCONT);
  CHECK(agent.result_with(ProbeOutcome::kSucceeded).seen.failures == 0);
}

TEST_CASE(
    "a plan without probes makes no prober, and a plan with one that cannot be run is refused") {
  SECTION("none") {
    Running agent(python_plan("import signal\nsignal.pause()"));
    must(agent.worker.receive(From::kStarted));
    CHECK(children_of(agent.worker.process().pid()).size() == 1);
  }
  SECTION("of a later version") {
    auto plan = plan_with({"/bin/true"});
    plan.mutable_probes(0)->set_kind(static_cast<v1::ProbeKind>(9));
    Running agent(plan);
    CHECK(must(agent.worker.receive(From::kExited)).exited().exec_error().find("probe") !=
          std::string::npos);
  }
}

}  // namespace flodea::worker::testing
