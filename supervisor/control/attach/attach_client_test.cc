#include "supervisor/control/attach/attach_client.h"

#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>

#include "flodea/attach/v1/attach.pb.h"

using namespace flodea;
using namespace flodea::control;
using namespace std::chrono_literals;
namespace pb = flodea::attach::v1;

namespace {

struct Heard final : WorkerEvents {
  int hellos = 0, denied = 0;
  Nanos started{};
  std::string refused;
  void on_hello(const WorkerHello&) override { ++hellos; }
  void on_started(Nanos at, std::vector<PhaseTime>) override { started = at; }
  void on_refused(const std::string& why) override { refused = why; }
  void on_denied(const std::vector<DeniedSyscall>&) override { ++denied; }
};

// The client on one end, the test as a worker on the other.
struct Bench {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  Heard heard;
  UniqueFd worker;
  std::unique_ptr<AttachClient> client;

  Bench() {
    auto pair = make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    worker = std::move(pair->second);
    client = std::move(*AttachClient::create(*loop, std::move(pair->first), Epoch{5}, heard));
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
  CHECK(sent > AttachClient::kMessageBurst);
  CHECK(b.heard.denied >= AttachClient::kMessageBurst);
  CHECK(b.heard.denied < AttachClient::kMessageBurst + 5 * AttachClient::kMessagesPerSecond);
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
