#include "worker/attach_client.h"

#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>

#include "base/fd_message.h"
#include "flodea/attach/v1/attach.pb.h"

namespace flodea::worker {
namespace v1 = flodea::attach::v1;
namespace {

struct Heard final : AttachClient::Handler {
  std::vector<AttachOffer> offers;
  std::vector<std::pair<Nanos, std::string>> stops;
  std::vector<Nanos> deadlines;
  void on_attach(AttachOffer offer) override { offers.push_back(std::move(offer)); }
  void on_stop(Nanos grace, std::string_view reason) override {
    stops.emplace_back(grace, std::string(reason));
  }
  void on_set_deadline(Nanos boot) override { deadlines.push_back(boot); }
};

// The worker's client on one end, the test as control on the other.
struct Setup {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  FdPair pair = std::move(*make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  Heard heard;
  AttachClient client{*loop, pair.first.get(), heard};

  Setup() { REQUIRE(client.start()); }

  void turn() { REQUIRE(loop->run_once(0)); }
  void send_bytes(std::string_view bytes, std::span<const int> fds = {}) {
    REQUIRE(send_fd_message(pair.second.get(), bytes, fds));
    turn();
  }
  template <class Fill>
  void say(Fill fill, std::span<const int> fds = {}, std::uint64_t epoch = 1,
           std::uint32_t protocol = 1) {
    v1::ToWorker message;
    message.set_protocol(protocol);
    message.set_epoch(epoch);
    fill(message);
    send_bytes(message.SerializeAsString(), fds);
  }
  template <class Fill>
  void attach(Fill fill, std::uint64_t epoch = 1) {
    auto socket = std::move(*make_socketpair(SOCK_STREAM));
    int fd = socket.first.get();
    say([&](auto& m) { fill(*m.mutable_attach()); }, std::span(&fd, 1), epoch);
  }
  std::optional<v1::FromWorker> hear() {
    auto message = receive_fd_message(pair.second.get());
    if (!message) return std::nullopt;
    v1::FromWorker parsed;
    REQUIRE(parsed.ParseFromString(message->bytes));
    return parsed;
  }
  std::string refusal() {
    auto message = hear();
    return message && message->has_refused() ? message->refused().why() : "";
  }
  // Until the socket takes no more.
  void fill_socket() {
    while (client.say_denied({{std::string(1000, 'x'), 1}})) continue;
  }
};

}  // namespace

TEST_CASE("an offer brings the socket, the plan and the limits") {
  Setup s;
  s.attach([](v1::Attach& attach) {
    v1::LaunchPlan& plan = *attach.mutable_launch();
    plan.set_executable("/usr/bin/python3");
    plan.add_argv("python3");
    plan.add_env("A=b");
    plan.set_cwd("/app");
    plan.set_uid(1000);
    plan.set_gid(1001);
    plan.set_open_files(64);
    plan.set_pids(32);
    plan.set_drop_logs(true);
  });
  REQUIRE(s.heard.offers.size() == 1);
  const AttachOffer& offer = s.heard.offers[0];
  CHECK(offer.socket.valid());
  REQUIRE(offer.plan);
  CHECK(offer.plan->executable == "/usr/bin/python3");
  CHECK(offer.plan->argv == std::vector<std::string>{"python3"});
  CHECK(offer.plan->env == std::vector<std::string>{"A=b"});
  CHECK(offer.plan->cwd == "/app");
  CHECK(offer.plan->uid == 1000);
  CHECK(offer.plan->gid == 1001);
  CHECK(offer.plan->open_files == 64);
  CHECK(offer.plan->processes == 32);
  CHECK(offer.plan->drop_logs);
  CHECK(offer.limits.max_line_bytes == 1 << 20);
  CHECK(offer.limits.max_open_calls == 64);
}

TEST_CASE("a plan brings its probes, and what becomes of them is said") {
  Setup s;
  s.attach([](v1::Attach& attach) {
    v1::Probe& probe = *attach.mutable_launch()->add_probes();
    probe.set_kind(v1::PROBE_KIND_READINESS);
    probe.add_command("check");
    probe.set_every_ns(5'000'000'000);
    probe.set_first_every_ns(1'000'000'000);
    probe.set_timeout_ns(~0ull);
  });
  REQUIRE(s.heard.offers.size() == 1);
  const ProbePlan& probe = s.heard.offers[0].plan->probes.at(0);
  CHECK(probe.kind == ProbeKind::kReadiness);
  CHECK(probe.command == std::vector<std::string>{"check"});
  CHECK(probe.every == std::chrono::seconds(5));
  CHECK(probe.first_every == std::chrono::seconds(1));
  CHECK(probe.timeout == std::chrono::hours(24));
  s.client.say_probe_slow(ProbeKind::kReadiness);
  s.client.say_probe_result(ProbeKind::kReadiness, "no\xff");
  CHECK(s.hear()->probe_slow().kind() == v1::PROBE_KIND_READINESS);
  CHECK(s.hear()->probe_result().output() == "no\xff");
}

TEST_CASE("limits stay within what the worker can bear") {
  Setup s;
  s.attach([](v1::Attach& attach) {
    attach.set_max_line_bytes(1);
    attach.set_max_open_calls(1'000'000);
  });
  s.attach([](v1::Attach& attach) { attach.set_max_line_bytes(~0u); });
  REQUIRE(s.heard.offers.size() == 2);
  CHECK_FALSE(s.heard.offers[0].plan);
  CHECK(s.heard.offers[0].limits.max_line_bytes == 4096);
  CHECK(s.heard.offers[0].limits.max_open_calls == 1024);
  CHECK(s.heard.offers[1].limits.max_line_bytes == 16 << 20);
}

TEST_CASE("what an older control says late is dropped") {
  Setup s;
  s.attach([](v1::Attach&) {}, 5);
  s.attach([](v1::Attach&) {}, 4);
  s.say([](auto& m) { m.mutable_stop()->set_reason("late"); }, {}, 4);
  CHECK(s.heard.offers.size() == 1);
  CHECK(s.heard.stops.empty());
  CHECK_FALSE(s.hear());  // no answer either: nobody is there to hear it
  s.client.say_hello(true, Nanos(7));
  auto hello = s.hear();
  REQUIRE(hello);
  CHECK(hello->epoch() == 5);
  CHECK(hello->hello().agent_running());
  CHECK(hello->hello().started_boottime_ns() == 7);
}

TEST_CASE("orders are passed on, with times that fit") {
  Setup s;
  s.say([](auto& m) {
    m.mutable_stop()->set_grace_ns(~0ull);
    m.mutable_stop()->set_reason("operator");
  });
  s.say([](auto& m) { m.mutable_set_deadline()->set_boottime_ns(9); });
  REQUIRE(s.heard.stops.size() == 1);
  CHECK(s.heard.stops[0] == std::pair(Nanos::max(), std::string("operator")));
  CHECK(s.heard.deadlines == std::vector<Nanos>{Nanos(9)});
}

TEST_CASE("what cannot be acted on is refused with the reason") {
  Setup s;
  s.send_bytes("\xff\xff garbage");
  CHECK(s.refusal().find("not a message") == 0);
  s.say([](auto& m) { m.mutable_stop(); }, {}, 1, 2);
  CHECK(s.refusal() == "protocol 2; this worker speaks 1");
  s.say([](auto&) {});
  CHECK(s.refusal().find("does not know") != std::string::npos);
  s.say([](auto& m) { m.mutable_attach(); });
  CHECK(s.refusal() == "Attach carries one stream socket");
  int fd = s.pair.first.get();  // of another kind
  s.say([](auto& m) { m.mutable_attach(); }, std::span(&fd, 1));
  CHECK(s.refusal() == "Attach carries one stream socket");
  CHECK(s.heard.offers.empty());
  CHECK(s.heard.stops.empty());
}

TEST_CASE("while nobody reads, the newest of what is said waits, and counts stay with the caller") {
  Setup s;
  s.fill_socket();
  for (int i = 0; i < 40; ++i) s.client.refuse(std::to_string(i));
  CHECK_FALSE(s.client.say_denied({{"mount", 1}}));
  std::vector<std::string> refusals;
  for (int quiet = 0; quiet < 2;) {
    auto message = s.hear();
    if (message && message->has_refused()) refusals.push_back(message->refused().why());
    quiet = message ? 0 : quiet + 1;
    s.turn();
  }
  REQUIRE(refusals.size() == 16);
  CHECK(refusals.front() == "24");
  CHECK(refusals.back() == "39");
  CHECK(s.client.say_denied({{"mount", 3}}));
  auto denied = s.hear();
  REQUIRE(denied);
  CHECK(denied->denied().calls(0).name() == "mount");
  CHECK(denied->denied().calls(0).count() == 3);
}

TEST_CASE("the end of all other ends is met once and quietly") {
  Setup s;
  s.pair.second.reset();
  s.turn();
  s.turn();
  s.client.say_exited(false, 3, "");
  CHECK(s.heard.offers.empty());
}

}  // namespace flodea::worker
