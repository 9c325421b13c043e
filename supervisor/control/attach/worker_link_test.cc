#include "supervisor/control/attach/worker_link.h"

#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>

#include "base/text.h"
#include "flodea/attach/v1/attach.pb.h"

using namespace flodea;
using namespace flodea::control;
using namespace std::chrono_literals;
namespace pb = flodea::attach::v1;

namespace {

struct Heard final : WorkerEvents {
  std::vector<std::string> probes;  // "liveness slow"
  void on_probe_result(ProbeKind kind, const std::string& output) override {
    probes.push_back(std::to_string(static_cast<unsigned>(kind)) + " " + output);
  }
  void on_probe_slow(ProbeKind kind) override {
    probes.push_back(std::to_string(static_cast<unsigned>(kind)) + " slow");
  }
  int hellos = 0, denied = 0;
  Nanos started{};
  std::string refused, version, denied_name;
  std::vector<PhaseTime> phases;
  void on_hello(const WorkerHello& hello) override { ++hellos, version = hello.version; }
  void on_started(Nanos at, std::vector<PhaseTime> said) override {
    started = at, phases = std::move(said);
  }
  void on_refused(const std::string& why) override { refused = why; }
  void on_denied(const std::vector<DeniedSyscall>& calls) override {
    ++denied;
    if (!calls.empty()) denied_name = calls[0].name;
  }
};

// The client on one end, the test as a worker on the other.
struct Bench {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  Heard heard;
  UniqueFd worker;
  std::unique_ptr<WorkerLink> client;

  Bench() {
    auto pair = make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    worker = std::move(pair->second);
    client = std::move(*WorkerLink::create(*loop, std::move(pair->first), Epoch{5}, heard));
  }
  void turn(int turns = 1) {
    for (int i = 0; i < turns; ++i) REQUIRE(loop->run_once(0));
  }
  void say(const std::function<void(pb::FromWorker&)>& fill, std::uint64_t epoch = 5) {
    pb::FromWorker message;
    message.set_epoch(epoch);
    fill(message);
    REQUIRE(send_fd_message(worker.get(), message.SerializeAsString()));
  }
  Result<pb::ToWorker> hear(std::vector<UniqueFd>* fds = nullptr) {
    auto message = TRY(receive_fd_message(worker.get()));
    pb::ToWorker out;
    out.ParseFromString(message.bytes);
    if (fds != nullptr) *fds = std::move(message.fds);
    return out;
  }
};

}  // namespace

TEST_CASE("the worker gets epoch, plan and its end of the calls") {
  Bench b;
  auto calls = make_socketpair(SOCK_STREAM);
  LaunchOrder order{
      .plan = {.executable = "/x", .argv = {"/x", "a"}, .env = {"A=b"}, .cwd = "/app"},
      .open_files = 9,
      .pids = 3,
      .drop_logs = true};
  b.client->attach(order, std::move(calls->first));
  std::vector<UniqueFd> fds;
  auto message = b.hear(&fds);
  REQUIRE(message);
  CHECK(message->epoch() == 5);
  CHECK(message->attach().launch().argv(1) == "a");
  CHECK(message->attach().launch().uid() == 1000);
  CHECK(message->attach().launch().drop_logs());
  CHECK(fds.size() == 1);
}

TEST_CASE("the worker gets the probes, the first runs of each no further apart than a second") {
  Bench b;
  auto calls = make_socketpair(SOCK_STREAM);
  ExecProbe probe{.command = {"a", "b"}, .every = 10s, .timeout = 2s, .failures = 3};
  b.client->attach({.liveness = probe}, std::move(calls->first));
  auto message = b.hear();
  REQUIRE(message);
  REQUIRE(message->attach().launch().probes_size() == 1);
  const pb::Probe& sent = message->attach().launch().probes(0);
  CHECK(sent.kind() == pb::PROBE_KIND_LIVENESS);
  CHECK(sent.command(1) == "b");
  CHECK(sent.every_ns() == 10'000'000'000);
  CHECK(sent.first_every_ns() == 1'000'000'000);
  CHECK(sent.timeout_ns() == 2'000'000'000);
}

TEST_CASE("what a probe printed is a line, and a kind that is none is not passed on") {
  Bench b;
  b.say([](auto& m) { m.mutable_probe_slow()->set_kind(pb::PROBE_KIND_LIVENESS); });
  b.say([](auto& m) {
    m.mutable_probe_result()->set_kind(pb::PROBE_KIND_READINESS);
    m.mutable_probe_result()->set_output("no\n\xff\x1b[2Janswer\n");
  });
  b.say([](auto& m) { m.mutable_probe_slow(); });
  b.say([](auto& m) { m.mutable_probe_result()->set_kind(static_cast<pb::ProbeKind>(77)); });
  b.turn(4);
  REQUIRE(b.heard.probes.size() == 2);
  CHECK(b.heard.probes[0] == "2 slow");
  CHECK(b.heard.probes[1].find_first_of("\n\x1b") == std::string::npos);
  CHECK(is_utf8(b.heard.probes[1]));
  CHECK(b.client->ignored() == 2);
}

TEST_CASE("what the worker says is heard, if it is said to this control") {
  Bench b;
  b.say([](auto& m) { m.mutable_hello(); });
  b.say([](auto& m) { m.mutable_started()->set_exec_boottime_ns(77); });
  b.say([](auto& m) { m.mutable_started()->set_exec_boottime_ns(99); }, 4);
  b.say([](auto& m) { m.mutable_refused()->set_why(std::string(5000, 'x')); });
  REQUIRE(send_fd_message(b.worker.get(), "\xff\xffgarbage"));
  b.turn(6);
  CHECK(b.heard.hellos == 1);
  CHECK(b.heard.started == 77ns);
  CHECK(b.heard.refused.size() == 256);
  CHECK(b.client->ignored() == 2);
}

TEST_CASE("a worker's texts are lines of valid UTF-8 wherever they go") {
  Bench b;
  std::string evil = "ok\nlevel=error agent=other\r\x1b[2J\xc2\x9b\" x=\"1";
  std::string cut = std::string(255, 'x') + "\xc3\xbc";  // its last character begins at byte 255
  b.say([&](auto& m) { m.mutable_hello()->set_version(evil); });
  b.say([&](auto& m) { m.mutable_refused()->set_why(cut); });
  b.say([&](auto& m) { m.mutable_denied()->add_calls()->set_name(evil); });
  b.turn(3);
  for (const std::string& text : {b.heard.version, b.heard.refused, b.heard.denied_name}) {
    CHECK_FALSE(text.empty());
    CHECK(is_utf8(text));
    CHECK(text.size() <= 256);
    CHECK(text.find_first_of("\n\r\x1b\"") == std::string::npos);
    CHECK(text.find("\xc2\x9b") == std::string::npos);
  }
  CHECK(b.heard.refused == std::string(255, 'x'));
}

TEST_CASE("of the phases of a start only those that workers have are taken, once each") {
  Bench b;
  b.say([](auto& m) {
    auto add = [&](std::string name, std::uint64_t nanos) {
      auto* phase = m.mutable_started()->add_phases();
      phase->set_name(std::move(name));
      phase->set_nanos(nanos);
    };
    for (int i = 0; i < 40; ++i) add("phase" + std::to_string(i), 1);
    add(std::string(255, 'x') + "\xc3\xbc", 1);
    add("exec", ~std::uint64_t{0});
    add("fork", 5);
    add("fork", 6);
  });
  b.turn();
  REQUIRE(b.heard.phases.size() == 2);
  CHECK(b.heard.phases[0].name == "fork");
  CHECK(b.heard.phases[0].duration == 5ns);
  CHECK(b.heard.phases[1].name == "exec");
  CHECK(b.heard.phases[1].duration > 0ns);
}

TEST_CASE("a worker that says too much is left to wait") {
  Bench b;
  int sent = 0;
  auto flood = [&] {
    pb::FromWorker message;
    message.set_epoch(5);
    message.mutable_denied();
    while (send_fd_message(b.worker.get(), message.SerializeAsString())) ++sent;
  };
  for (int i = 0; i < 1000; ++i) {
    flood();
    b.turn();
  }
  CHECK(sent > WorkerLink::kMessageBurst);
  CHECK(b.heard.denied >= WorkerLink::kMessageBurst);
  CHECK(b.heard.denied < WorkerLink::kMessageBurst + 5 * WorkerLink::kMessagesPerSecond);
}

TEST_CASE("a worker that reads nothing costs a bounded queue, and blocks nobody") {
  Bench b;
  for (int i = 0; i < 10'000; ++i) b.client->stop(1s, std::string(1000, 'x'));
  int read = 0;
  while (b.hear()) {
    ++read;
    b.turn();
  }
  CHECK(read < 2000);
}

TEST_CASE("a worker that is gone is no error: flodead reports its end") {
  Bench b;
  b.worker.reset();
  b.turn(2);
  b.client->stop(1s, "operator");
  b.turn(2);
  CHECK(b.heard.hellos == 0);
}
