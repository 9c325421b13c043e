// The real program, as PID 1 of real namespaces, with real agents and a control of the test's own.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "base/clock.h"
#include "worker/testing/fake_control.h"
#include "worker/testing/injected_call.h"
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

void must(Status status) {
  if (!status) FAIL(status.error().describe());
}

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
  CHECK(must(agent.worker.ended()));

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

TEST_CASE("an agent that cannot be executed is reported with the step and errno") {
  auto plan = python_plan("");
  plan.set_executable("/usr/bin/there-is-no-such-program");
  Running agent(plan);
  auto exited = must(agent.worker.receive(From::kExited));
  CHECK(exited.exited().exec_error().find(
            "execve /usr/bin/there-is-no-such-program: No such file") == 0);
  CHECK(must(agent.worker.ended()));
  auto status = must(agent.worker.status());
  CHECK(status.exit_kind == ExitKind::kExecFailed);
  CHECK(status.exit_value == ENOENT);
  CHECK(text_of(agent.worker.remaining_logs()).find("could not be started") != std::string::npos);
}

TEST_CASE("a plan that would run the agent as root is refused") {
  auto plan = python_plan("print('ran')");
  plan.set_uid(0);
  Running agent(plan);
  must(agent.worker.receive(From::kExited));
  CHECK(must(agent.worker.status()).exit_kind == ExitKind::kExecFailed);
  CHECK(text_of(agent.worker.remaining_logs()).find("ran\n") == std::string::npos);
}

TEST_CASE(
    "the agent holds its four descriptors, no capability, no group, its limits, and cannot signal "
    "the worker") {
  auto plan = python_plan(R"(
import os, resource, signal
fds = []
for fd in range(resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
    try: os.fstat(fd); fds.append(fd)
    except OSError: pass
print("fds", fds)
status = dict(l.split(":", 1) for l in open("/proc/thread-self/status" if False else "/proc/self/status") if ":" in l) if os.path.exists("/proc/self/status") else {}
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"): print(name, int(status.get(name, "0"), 16))
print("nnp", status.get("NoNewPrivs", "1").strip(), "seccomp", status.get("Seccomp", "2").strip())
print("ids", os.getresuid(), os.getresgid(), os.getgroups())
print("limits", resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))
print("session", os.getsid(0) == os.getpid(), "cwd", os.getcwd())
try: os.kill(1, signal.SIGTERM); print("killed")
except PermissionError as e: print("kill", e.errno)
)");
  plan.set_open_files(64);
  Running agent(plan);
  must(agent.worker.receive(From::kExited));
  auto log = text_of(agent.worker.remaining_logs());
  INFO(log);
  CHECK(log.find("fds [0, 1, 2, 3]\n") != std::string::npos);
  for (const char* set : {"CapInh 0\n", "CapPrm 0\n", "CapEff 0\n", "CapBnd 0\n", "CapAmb 0\n"})
    CHECK(log.find(set) != std::string::npos);
  CHECK(log.find("nnp 1 seccomp 2\n") != std::string::npos);
  CHECK(log.find("ids (1000, 1000, 1000) (1000, 1000, 1000) []\n") != std::string::npos);
  CHECK(log.find("limits (64, 64) (0, 0)\n") != std::string::npos);
  CHECK(log.find("session True cwd /\n") != std::string::npos);
  CHECK(log.find("kill 1\n") != std::string::npos);
}

TEST_CASE("refused system calls are counted by number, named to control, and fail with EPERM") {
  const std::string code = R"(
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(5):
    print(libc.personality(0xffffffff), ctypes.get_errno())
)";
  SECTION("with everything allowed it would work") {
    HarnessOptions options;
    options.agent_filter = allow_everything();
    Running agent(python_plan(code), options);
    must(agent.worker.receive(From::kExited));
    CHECK(text_of(agent.worker.remaining_logs()) == "0 0\n0 0\n0 0\n0 0\n0 0\n");
    CHECK(must(agent.worker.status()).denied_total == 0);
  }
  SECTION("refused and reported") {
    HarnessOptions options;
    options.agent_filter = refuse({SYS_personality}, SECCOMP_RET_USER_NOTIF);
    Running agent(python_plan(code), options);
    std::uint64_t told = 0;  // in one message, or in more when a heartbeat comes between
    for (auto message = must(agent.worker.receive()); !message.has_exited();
         message = must(agent.worker.receive())) {
      if (!message.has_denied()) continue;
      REQUIRE(message.denied().calls_size() == 1);
      CHECK(message.denied().calls(0).name() == "personality");
      told += message.denied().calls(0).count();
    }
    CHECK(told == 5);
    CHECK(text_of(agent.worker.remaining_logs()) == "-1 1\n-1 1\n-1 1\n-1 1\n-1 1\n");
    auto status = must(agent.worker.status());
    CHECK(status.denied_total == 5);
    REQUIRE(status.denied.size() == 1);
    CHECK(status.denied[0].syscall_number == SYS_personality);
    CHECK(status.denied[0].count == 5);
  }
}

TEST_CASE("orphans are reaped while the agent runs, and what is left dies with it") {
  Running agent(python_plan(R"(
import os, time
here, there = os.pipe()
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
if os.fork() == 0:
    os.setsid()
    print("left behind")
    os.write(there, b"x")
    time.sleep(3600)
os.read(here, 1)
for _ in range(20): os.waitpid(-1, 0)
)"));
  must(agent.worker.receive(From::kExited));
  CHECK(must(agent.worker.ended()));
  CHECK(text_of(agent.worker.remaining_logs()) == "left behind\n");
}

TEST_CASE("stop sends SIGTERM, and kills after the grace; sent again it can only shorten") {
  const std::string stubborn = R"(
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("got SIGTERM"))
print("up")
while True: time.sleep(60)
)";
  auto stop = [](std::uint64_t grace_ms) {
    v1::ToWorker message;
    message.set_protocol(1);
    message.set_epoch(1);
    message.mutable_stop()->set_grace_ns(grace_ms * 1'000'000);
    message.mutable_stop()->set_reason("operator");
    return message;
  };
  SECTION("an agent without a handler dies of it") {
    Running agent(python_plan("import time\nprint('up')\ntime.sleep(3600)"));
    must(agent.worker.logs_until("up"));
    must(agent.worker.send(stop(60'000)));
    auto exited = must(agent.worker.receive(From::kExited)).exited();
    CHECK(exited.signaled());
    CHECK(exited.value() == SIGTERM);
    CHECK(must(agent.worker.status()).stop_requested > Nanos(0));
  }
  SECTION("a stubborn one is killed") {
    Running agent(python_plan(stubborn));
    must(agent.worker.logs_until("up"));
    must(agent.worker.send(stop(60'000)));
    must(agent.worker.logs_until("got SIGTERM"));
    must(agent.worker.send(stop(90'000)));
    must(agent.worker.send(stop(0)));
    auto exited = must(agent.worker.receive(From::kExited)).exited();
    CHECK(exited.signaled());
    CHECK(exited.value() == SIGKILL);
  }
  SECTION("an older control is not listened to") {
    Running agent(python_plan(
        kPrelude + "print('up')\ncall('flodea.kernel.v1.Clock/SleepUntil', {'wallNanos': '1'})"));
    agent.attach(5);
    must(agent.worker.logs_until("up"));
    must(agent.worker.send(stop(0)));  // epoch 1
    auto unknown = stop(0);
    unknown.set_protocol(9);
    unknown.set_epoch(5);
    must(agent.worker.send(unknown));
    must(agent.worker.receive(From::kRefused));  // so what was sent before it is through
    agent.modules.sleep.open();
    auto exited = must(agent.worker.receive(From::kExited)).exited();
    CHECK_FALSE(exited.signaled());
  }
  SECTION("before the launch it ends at once") {
    auto worker = start_worker();
    must(worker.send(stop(0)));
    CHECK(must(worker.receive(From::kExited)).exited().value() == SIGTERM);
    CHECK(must(worker.ended()));
  }
}

TEST_CASE("a deadline that is not renewed ends the agent") {
  Running agent(python_plan("import time\nprint('up')\ntime.sleep(3600)"));
  must(agent.worker.logs_until("up"));
  v1::ToWorker message;
  message.set_protocol(1);
  message.set_epoch(1);
  message.mutable_set_deadline()->set_boottime_ns(
      static_cast<std::uint64_t>(SystemClock().boot().count()) + 50'000'000);
  must(agent.worker.send(message));
  auto exited = must(agent.worker.receive(From::kExited)).exited();
  CHECK(exited.signaled());
  CHECK(exited.value() == SIGKILL);
  CHECK(text_of(agent.worker.remaining_logs()).find("deadline") != std::string::npos);
}

TEST_CASE(
    "when control dies, repeatable calls are answered by the next one, others fail, and no log "
    "line is lost") {
  Running agent(python_plan(kPrelude + R"(
def start(id, method, params, **more): send(id=id, method=method, params=params, **more)
print("line before")
start("sleep", "flodea.kernel.v1.Clock/SleepUntil", {"wallNanos": "1"})
start("put", "flodea.storage.v1.Store/Put", {"key": "aw==", "value": "dg=="})
start("commit", "flodea.storage.v1.Store/Commit", {"puts": [{"key": "aw==", "value": "dg=="}]}, idempotency_key="once")
start("stop", "flodea.agent.v1.Self/WatchStop", {})
send(method="credit", params={"id": "stop", "n": 4})
for _ in range(6):  # with the end of the stream
    m = reply()
    if m.get("method") == "stream": print("notice", m["params"]["message"]["reason"])
    elif "error" in m: print(m["id"], m["error"]["code"])
    else: print(m["id"], m["result"])
    if m.get("id") == "put": start("late", "flodea.kernel.v1.Clock/Now", {})
)"));
  REQUIRE(agent.modules.sleep.wait_for_arrivals(1));
  REQUIRE(agent.modules.put.wait_for_arrivals(1));
  REQUIRE(agent.modules.commit.wait_for_arrivals(1));
  REQUIRE(agent.modules.stop.wait_for_arrivals(1));
  agent.control->cut();
  must(agent.worker.logs_until("put -32014"));  // whether it took effect is unknown

  agent.modules.sleep.open();
  agent.modules.stop.open();
  agent.attach(2);
  CHECK(must(agent.worker.receive(From::kHello)).has_hello());
  std::vector<LogFrame> frames;
  must(agent.worker.receive(From::kExited));
  auto log = text_of(agent.worker.remaining_logs());
  INFO(log);
  CHECK(log.find("sleep {'wallNanos': '1'}\n") != std::string::npos);
  CHECK(log.find("commit {'version': '9'}\n") != std::string::npos);
  CHECK(log.find("notice operator\n") != std::string::npos);
  CHECK(agent.modules.commits["once"] ==
        2);  // it came twice, with the same key: the module does it once
  CHECK(agent.modules.sleeps == 2);
}

TEST_CASE("a call that waits for a control honours its deadline") {
  Running agent(python_plan(kPrelude + R"(
call("flodea.kernel.v1.Clock/Now")
print("ready")
sys.stdin.read()
time.sleep(0.1)
print(call("flodea.kernel.v1.Clock/Now", deadline_ms=100)["error"]["code"])
)"));
  must(agent.worker.logs_until("ready"));
  agent.control->cut();
  must(agent.worker.logs_until("-32004"));
}

TEST_CASE(
    "a thousand lines in both streams arrive in order, without a gap, though nobody reads for a "
    "while") {
  HarnessOptions options;
  options.log_pipe_bytes = 4096;
  Running agent(python_plan(R"(
import sys
for i in range(1000):
    print("out", i, "x" * 100)
    print("err", i, file=sys.stderr)
)"),
                options);
  std::uint64_t seq = 0;
  int out = 0, err = 0;
  while (out + err < 2000) {
    auto frame = must(agent.worker.next_log());
    CHECK(frame.seq == ++seq);
    auto& count = frame.stream == LogStream::kStdout ? out : err;
    CHECK(frame.text.find(" " + std::to_string(count)) == 3);
    ++count;
  }
  must(agent.worker.receive(From::kExited));
  CHECK(must(agent.worker.status()).log_seq == 2000);
}

TEST_CASE("an agent that floods a full log waits for its reader, or loses lines that are counted") {
  HarnessOptions options;
  options.log_pipe_bytes = 4096;
  auto plan = python_plan(kPrelude + R"(
for i in range(20000): print("x" * 100)
call("flodea.agent.v1.Self/Ready")
print("done")
)");
  SECTION("block") {
    Running agent(plan, options);
    must(agent.worker.receive(From::kStarted));
    CHECK_FALSE(agent.worker.receive(From::kExited, 300).has_value());
    CHECK_FALSE(must(agent.worker.status()).ready);  // 2 MB are not through
    auto frames = must(agent.worker.logs_until("done", 30'000));
    CHECK(frames.size() == 20'001);
    must(agent.worker.receive(From::kExited));
  }
  SECTION("drop") {
    plan.set_drop_logs(true);
    Running agent(plan, options);
    must(agent.worker.receive(From::kStarted));
    must(agent.worker.receive(From::kExited, 30'000));
    auto status = must(agent.worker.status());
    CHECK(status.ready);
    CHECK(status.log_dropped > 10'000);
  }
}

TEST_CASE("hostile lines get the protocol's errors and harm only their sender") {
  Running agent(python_plan(kPrelude + R"(
def raw(data): s.sendall(data)
def show(): m = reply(); print(m["id"], m["error"]["code"])
raw(b"nonsense\n"); show()
raw(b"[1,2]\n"); show()
raw(b'{"jsonrpc":"2.0","id":7}\n'); show()
raw(b'{"jsonrpc":"1.0","id":7,"method":"a"}\n'); show()
raw(b'{"jsonrpc":"2.0","id":7,"method":"flodea.kernel.v1.Clock/Nope","params":{}}\n'); show()
raw(b'{"jsonrpc":"2.0","id":7,"method":"flodea.kernel.v1.Clock/Now","params":{"nope":1}}\n'); show()
raw(b'{"jsonrpc":"2.0","id":7,"method":"flodea.kernel.v1.Clock/Now","params":' + b'{"a":' * 2000 + b'1' + b'}' * 2000 + b'}\n'); show()
raw(b'{"jsonrpc":"2.0","method":"flodea.kernel.v1.Clock/Now","params":{}}\n'); show()
raw(b'{"jsonrpc":"2.0","id":7,"method":"flodea.kernel.v1.Clock/SleepUntil","params":{"wallNanos":"1"},"idempotency_key":"k"}\n')
raw(b'{"jsonrpc":"2.0","id":7,"method":"flodea.kernel.v1.Clock/Now","params":{}}\n'); show()
raw(b'{"jsonrpc":"2.0","method":"cancel","params":{"id":7}}\n'); show()
raw(b'{"jsonrpc":"2.0","id":7,"method":"flodea.storage.v1.Store/Put","params":{},"idempotency_key":"k"}\n'); show()
raw(b"y" * 1500000 + b"\n"); show()
for i in range(70): send(id=i, method="flodea.kernel.v1.Clock/SleepUntil", params={"wallNanos": "1"})
for i in range(6): show()
for i in range(64): send(method="cancel", params={"id": i})
for i in range(64): reply()
print("fine", "wallNanos" in call("flodea.kernel.v1.Clock/Now")["result"])
)"));
  must(agent.worker.receive(From::kExited));
  std::string log = text_of(agent.worker.remaining_logs());
  std::string expected =
      "None -32700\nNone -32700\n7 -32600\n7 -32600\n7 -32601\n7 -32602\nNone -32700\nNone "
      "-32600\n7 -32600\n7 -32001\n7 -32602\n"
      "None -32600\n";
  for (int i = 64; i < 70; ++i) expected += std::to_string(i) + " -32008\n";
  CHECK(log == expected + "fine True\n");
  CHECK(must(agent.worker.status()).protocol_errors >= 9);
}

TEST_CASE("errors carry google.rpc details") {
  Running agent(python_plan(kPrelude + R"(
e = call("flodea.storage.v1.Store/Get", {"key": "aw=="})["error"]
print(e["code"], e["message"], e["data"][0]["@type"], e["data"][0]["reason"])
)"));
  must(agent.worker.logs_until(
      "-32005 no such key type.googleapis.com/google.rpc.ErrorInfo NO_KEY"));
}

TEST_CASE(
    "an agent that asks and never reads its answers stops itself, and the worker stays small") {
  Running agent(python_plan(kPrelude + R"(
s.setblocking(False)
line = b'{"jsonrpc":"2.0","id":1,"method":"nope","params":{}}\n' * 1000
sent = 0
try:
    while sent < 50_000_000: sent += s.send(line)
except BlockingIOError: pass
print("stuck", sent < 50_000_000)
time.sleep(3600)
)"));
  must(agent.worker.logs_until("stuck True"));
}

TEST_CASE("the worker refuses what is no message of the attach protocol and goes on") {
  Running agent(python_plan("import time\nprint('up')\ntime.sleep(3600)"));
  must(agent.worker.logs_until("up"));
  v1::ToWorker message;
  message.set_protocol(9);
  message.set_epoch(1);
  message.mutable_stop();
  must(agent.worker.send(message));
  CHECK(must(agent.worker.receive(From::kRefused)).refused().why().find("protocol 9") == 0);
  message.set_protocol(1);
  message.mutable_attach();  // without a descriptor
  must(agent.worker.send(message));
  must(agent.worker.receive(From::kRefused));
  CHECK_FALSE(must(agent.worker.ended(0)));
}

TEST_CASE(
    "a worker with an agent opens no file and makes no socket; without its profile it would") {
  const InjectedCall calls[] = {
      {.number = SYS_openat, .arguments = {static_cast<std::uint64_t>(AT_FDCWD)}, .path = "/"},
      {.number = SYS_unlinkat, .arguments = {static_cast<std::uint64_t>(AT_FDCWD)}, .path = "/"},
      {.number = SYS_socket, .arguments = {AF_INET, SOCK_STREAM}},
  };
  auto made = [](const InjectedCall& call, const Filter& filter) {
    HarnessOptions options;
    options.worker_filter = filter;
    Running agent(python_plan("import time\nprint('up')\ntime.sleep(3600)"), options);
    must(agent.worker.logs_until("up"));
    return must(inject(agent.worker.process(), call));
  };
  CHECK(made(calls[0], allow_everything()) >= 0);
  CHECK(made(calls[1], allow_everything()) == -EISDIR);
  CHECK(made(calls[2], allow_everything()) >= 0);
  for (const InjectedCall& call : calls) CHECK(made(call, profile("worker")) == -EPERM);
}

#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("an idle worker has at most 0.6 MB of its own and few threads") {
  Running agent(python_plan(kPrelude +
                            "call('flodea.kernel.v1.Clock/Now')\nprint('idle')\ntime.sleep(3600)"));
  must(agent.worker.logs_until("idle"));
  auto field = [&](const char* file, const std::string& name) {
    std::ifstream in("/proc/" + std::to_string(agent.worker.process().pid()) + "/" + file);
    for (std::string word; in >> word;) {
      std::uint64_t value = 0;
      if (word == name + ":" && in >> value) return value;
    }
    return std::uint64_t{0};
  };
  auto anonymous_kib = field("smaps_rollup", "Anonymous");
  auto threads = field("status", "Threads");
  CAPTURE(anonymous_kib, threads, field("smaps_rollup", "Pss"));
  CHECK(anonymous_kib > 0);
  CHECK(anonymous_kib <= 600);
  CHECK(threads <= 8 + 2 * std::thread::hardware_concurrency());  // gRPC has some per core
  WARN("anonymous " << anonymous_kib << " KiB, PSS " << field("smaps_rollup", "Pss")
                    << " KiB, threads " << threads);
}
#endif

}  // namespace flodea::worker::testing
