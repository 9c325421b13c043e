#include "supervisor/control/lifecycle/host_effects.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>

#include <catch2/catch_test_macros.hpp>

#include "flodea/attach/v1/attach.pb.h"
#include "flodea/vault/v1/vault.pb.h"
#include "supervisor/control/root_client/testing/fake_root_service.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;
using namespace std::chrono_literals;
using Words = std::vector<std::string>;

namespace {

// All fakes write into one list, so that order can be asserted.
struct FakeGateway final : Gateway {
  explicit FakeGateway(Words& words) : said(words) {}
  Words& said;
  UniqueFd store;
  Result<UniqueFd> attach(AgentContext context) override {
    said.push_back("gateway attach");
    store = std::move(context.store_directory);
    return std::move(make_socketpair(SOCK_STREAM)->first);
  }
  Result<UniqueFd> reconnect(const AgentId&) override {
    return std::move(make_socketpair(SOCK_STREAM)->first);
  }
  void notify_stop(const AgentId&, const StopNotice& notice) override {
    said.push_back("notice " + notice.reason);
  }
  void detach(const AgentId&, std::function<void()> done) override {
    said.push_back("gateway detach");
    store.reset();
    done();
  }
  GatewayUsage usage(const AgentId&) const override { return {.calls = 3}; }
};

struct FakeLogs final : LogStore {
  explicit FakeLogs(Words& words) : said(words) {}
  Words& said;
  Status open(const AgentId&, const LogKey&, const LogPolicy&, std::uint64_t) override {
    return said.push_back("log open"), Status();
  }
  void expect(const AgentId&, bool) override {}
  Status attach(const AgentId&, Generation, UniqueFd) override {
    return said.push_back("log attach"), Status();
  }
  void finish(const AgentId&, Generation, std::function<void()> done) override {
    said.push_back("log finish");
    done();
  }
  Status append(const AgentId&, Generation, LogStream, std::string) override { return {}; }
  Result<std::vector<LogLine>> read(const AgentId&, const LogQuery&) const override {
    return std::vector<LogLine>();
  }
  std::uint64_t subscribe(const AgentId&, Subscriber) override { return 0; }
  void unsubscribe(const AgentId&, std::uint64_t) override {}
  LogUsage usage(const AgentId&) const override { return {.bytes = 11}; }
  Status remove(const AgentId&) override { return said.push_back("log remove"), Status(); }
};

struct Seen final : EffectEvents {
  explicit Seen(Words& words) : said(words) {}
  Words& said;
  Presented presented;
  Ending ending;
  std::vector<PhaseTime> phases;
  HealthReport health;
  void on_volume_made(const AgentId&) override { said.push_back("volume made"); }
  void on_present(const AgentId&, Generation, const Presented& found) override {
    said.push_back("present"), presented = found;
  }
  void on_executed(const AgentId&, Generation, Nanos, std::vector<PhaseTime> p) override {
    said.push_back("executed"), phases = std::move(p);
  }
  void on_ready(const AgentId&, Generation) override {}
  void on_ended(const AgentId&, Generation, const Ending& e) override {
    said.push_back("ended"), ending = e;
  }
  void on_released(const AgentId&, Generation) override { said.push_back("released"); }
  void on_release_failed(const AgentId&, Generation, const Error&) override {
    said.push_back("release failed");
  }
  void on_health(const AgentId&, Generation, const HealthReport& report) override {
    health = report;
  }
  void on_health_unjudged(const AgentId&, Generation, const std::string& why) override {
    said.push_back(why.substr(0, 24));
  }
  void on_wake(const AgentId&) override { said.push_back("wake"); }
  void on_denied(const AgentId&, Generation, const std::string& calls) override {
    said.push_back("denied " + calls);
  }
  void on_service(const ServiceChange&) override {}
  void on_shutdown_requested() override {}
};

// A vault that answers every request for a key, unless it is away.
struct FakeVault {
  FakeVault(EventLoop& l, UniqueFd s) : loop(l), socket(std::move(s)) {
    (void)loop.watch(socket.get(), EPOLLIN, [this](std::uint32_t) { turn(); });
  }
  ~FakeVault() { loop.unwatch(socket.get()); }
  EventLoop& loop;
  UniqueFd socket;
  int asked = 0;
  bool away = false;
  void turn() {
    auto message = receive_fd_message(socket.get());
    if (!message) return loop.unwatch(socket.get());
    vault::v1::Request request;
    request.ParseFromString(message->bytes);
    ++asked;
    if (away) return;
    vault::v1::Reply reply;
    reply.set_id(request.id());
    reply.mutable_get_log_key()->set_key(std::string(32, 'k'));
    (void)send_fd_message(socket.get(), reply.SerializeAsString());
  }
};

struct Bench {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  SystemClock clock;
  Words said;
  Seen seen{said};
  FakeGateway gateway{said};
  FakeLogs logs{said};
  Meters meters;
  UniqueFd state = std::move(*adopt_fd(::open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC), "state"));
  std::unique_ptr<FakeRoot> root;
  std::unique_ptr<FakeVault> vault_peer;
  std::unique_ptr<VaultClient> vault;
  std::unique_ptr<HostEffects> effects;
  AgentId agent = AgentId::random();
  bool disk_is_slow = false;
  std::vector<std::function<void()>> waiting;  // for the slow disk

  Bench() {
    auto vault_pair = make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    vault_peer = std::make_unique<FakeVault>(*loop, std::move(vault_pair->second));
    vault = std::move(*VaultClient::create(*loop, std::move(vault_pair->first), 20ms));
    auto pair = make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    root = std::make_unique<FakeRoot>(*loop, std::move(pair->second));
    HostParts parts{
        .loop = *loop,
        .clock = clock,
        .vault = *vault,
        .gateway = gateway,
        .logs = logs,
        .disk =
            [this](auto task) {
              if (!disk_is_slow) return task();
              waiting.push_back(std::move(task));
            },
        .meters = meters,
        .state_dir = state.get(),
        .spec_json = [](const AgentManifest&) { return "{}"; },
        .layers = [](const AgentSpec&, auto done) { done(std::vector<BundleDigest>()); },
        .root_lost = [](const Error&) {}};
    effects = std::move(*HostEffects::create(std::move(parts), std::move(pair->first), seen));
    bool greeted = false;
    effects->hello([&](auto) { greeted = true; });
    REQUIRE(run_until(*loop, [&] { return greeted; }));
    root->asked.clear();
  }

  StartOrder order(bool volume_made = true) {
    StartOrder out{.id = agent,
                   .generation = {1},
                   .manifest = {},
                   .volume_made = volume_made,
                   .restarts = 0,
                   .received = clock.boot()};
    out.manifest.name = "ledger";
    out.manifest.spec.runtime = {
        .type = "python", .entrypoint = "main.py", .args = {}, .env = {}, .packages = ""};
    out.manifest.spec.bundle = *BundleDigest::from_hex(std::string(64, 'c'));
    return out;
  }
  bool has(const std::string& word) const { return std::ranges::find(said, word) != said.end(); }
  void until(const std::string& word) {
    INFO(word);
    REQUIRE(run_until(*loop, [&] { return has(word); }));
  }
  std::ptrdiff_t place(const std::string& word) const {
    return std::ranges::find(said, word) - said.begin();
  }
  FakeRoot::Key key() const { return {agent.text(), 1}; }
  FakeRoot::Instance& instance() { return root->instances.at(key()); }
  void running() {
    effects->start(order());
    until("present");
    until("log attach");
  }
  attach::v1::ToWorker hear_worker() {
    attach::v1::ToWorker message;
    auto received = receive_fd_message(instance().attach_worker.get());
    REQUIRE(received);
    message.ParseFromString(received->bytes);
    return message;
  }
  void worker_says(const std::function<void(attach::v1::FromWorker&)>& fill) {
    attach::v1::FromWorker message;
    message.set_epoch(7);
    fill(message);
    REQUIRE(send_fd_message(instance().attach_worker.get(), message.SerializeAsString()));
  }
};

}  // namespace

TEST_CASE("a start makes the volume, wires everything and tells the worker what to launch") {
  Bench b;
  b.effects->start(b.order(false));
  b.until("present");
  CHECK(b.root->asked == Words{"create", "start"});
  CHECK(b.has("volume made"));
  auto attach = b.hear_worker();
  CHECK(attach.attach().launch().executable() == "/usr/bin/python3");
  CHECK(attach.attach().launch().cwd() == "/app");
  b.until("log attach");
  b.worker_says([&](auto& m) {
    m.mutable_started()->set_exec_boottime_ns(static_cast<std::uint64_t>(b.clock.boot().count()));
  });
  b.until("executed");
  Words names;
  for (const PhaseTime& phase : b.seen.phases) names.push_back(phase.name);
  CHECK(names == Words{"control", "volume", "flodead", "flodead clone", "attach", "total"});
}

TEST_CASE("a volume known to exist is not asked for") {
  Bench b;
  b.running();
  CHECK(b.root->asked == Words{"start"});
}

TEST_CASE("a time that a worker makes up stays within what can be true") {
  Bench b;
  b.running();
  b.worker_says([](auto& m) { m.mutable_started()->set_exec_boottime_ns(~0ull >> 1); });
  b.until("executed");
  CHECK(b.seen.phases.back().duration < 60s);
}

TEST_CASE("at the end log and store are closed before flodead is told") {
  Bench b;
  b.running();
  auto page = StatusPageWriter::map(b.instance().page.get());
  REQUIRE(page);
  page->record_exit(ExitKind::kExited, 3, b.clock.wall());
  b.root->exit(b.key());
  b.until("ended");
  CHECK(b.seen.ending.exit_code == 3);
  CHECK_FALSE(b.has("log finish"));
  b.effects->release(b.agent, {1});
  b.until("released");
  CHECK(b.place("log finish") < b.place("released"));
  CHECK(b.place("gateway detach") < b.place("released"));
  CHECK(b.root->asked == Words{"start", "release"});
  CHECK_FALSE(b.meters.read(b.agent));
}

TEST_CASE("a refused start is an ending, and releasing it is harmless") {
  Bench b;
  b.root->refusals["start"].set_code(15);
  b.root->refusals["start"].set_message("wrong node key");
  b.effects->start(b.order());
  b.until("ended");
  CHECK(b.seen.ending.blame == Blame::kHopeless);
  CHECK(b.seen.ending.message.find("wrong node key") != std::string::npos);
  b.effects->release(b.agent, {1});
  b.until("released");
}

TEST_CASE("what still runs is killed before it is released") {
  Bench b;
  b.running();
  b.effects->release(b.agent, {1});
  b.until("released");
  CHECK(b.root->asked == Words{"start", "release", "kill", "release"});
}

TEST_CASE(
    "an instance that flodead kept is adopted: the worker is attached anew, what the page tells is "
    "seen") {
  Bench b;
  b.running();
  b.said.clear();
  auto page = StatusPageWriter::map(b.instance().page.get());
  page->set_started(b.clock.boot());
  page->set_ready();
  b.effects->adopt(
      [&] {
        auto order = b.order();
        order.generation = {1};
        return order;
      }(),
      {.agent = b.agent, .generation = {1}, .state = ListedInstance::State::kRunning, .exit = {}});
  b.until("present");
  CHECK(b.seen.presented.executed.has_value());
  CHECK(b.seen.presented.ready);
}

TEST_CASE("an instance that ended while nobody looked is adopted with its ending") {
  Bench b;
  b.running();
  b.said.clear();
  b.root->exit(b.key(), true, 9);
  b.until("ended");
  b.said.clear();
  ListedInstance listed{
      .agent = b.agent, .generation = {1}, .state = ListedInstance::State::kExited, .exit = {}};
  listed.exit = {
      .agent = b.agent, .generation = {1}, .signaled = true, .value = 9, .status_known = true};
  b.effects->adopt(b.order(), listed);
  b.until("ended");
  CHECK(b.seen.ending.reason == Reason::kWorker);
  CHECK(b.place("present") < b.place("ended"));
}

TEST_CASE(
    "while the vault is away lines wait in the pipe, and are kept before the instance is "
    "released") {
  Bench b;
  b.vault_peer->away = true;
  b.effects->start(b.order());
  b.until("present");
  b.root->exit(b.key());
  b.until("ended");
  b.effects->release(b.agent, {1});
  REQUIRE(run_until(*b.loop, [&] { return b.vault_peer->asked > 1; }));
  CHECK_FALSE(b.has("released"));
  b.vault_peer->away = false;
  b.until("released");
  CHECK(b.place("log attach") < b.place("log finish"));
}

TEST_CASE("a stop is told to worker and agent; without a worker it is a kill") {
  Bench b;
  b.running();
  (void)b.hear_worker();
  b.effects->stop(b.agent, {1}, 5s, "operator");
  auto stop = b.hear_worker();
  CHECK(stop.stop().grace_ns() == 5'000'000'000);
  CHECK(b.has("notice operator"));
  b.effects->stop(AgentId::random(), {1}, 5s, "operator");
  REQUIRE(run_until(*b.loop, [&] { return b.root->asked.back() == "kill"; }));
}

TEST_CASE("a slow disk of the logs holds up no start, and keeps what is done to a log in order") {
  Bench b;
  b.disk_is_slow = true;
  b.effects->start(b.order());
  b.until("present");
  REQUIRE(run_until(*b.loop, [&] { return b.waiting.size() == 1; }));
  CHECK_FALSE(b.has("log open"));
  bool removed = false;
  SECTION("the instance's lines wait in its pipe") {
    b.waiting[0]();
    b.until("log attach");
  }
  SECTION("a removal comes after the opening") {
    b.effects->destroy(b.agent, true, [&](auto) { removed = true; });
    REQUIRE(b.waiting.size() == 2);
    for (auto& task : b.waiting) task();
    REQUIRE(run_until(*b.loop, [&] { return removed; }));
    CHECK(b.place("log open") < b.place("log remove"));
    CHECK_FALSE(b.has("log attach"));
  }
}

TEST_CASE("keys are destroyed before the log is removed; a kept volume keeps them") {
  Bench b;
  std::optional<RemovalReceipt> receipt;
  b.effects->destroy(b.agent, false, [&](auto r) { receipt = *r; });
  REQUIRE(run_until(*b.loop, [&] { return receipt.has_value(); }));
  CHECK(receipt->key_digest == "digest");
  CHECK(b.root->asked == Words{"destroy"});
  CHECK(b.said == Words{"log remove"});
  receipt.reset();
  b.effects->destroy(b.agent, true, [&](auto r) { receipt = *r; });
  REQUIRE(run_until(*b.loop, [&] { return receipt.has_value(); }));
  CHECK(receipt->key_digest.empty());
  CHECK(b.root->asked == Words{"destroy"});
}

TEST_CASE("refused system calls are told with their counts") {
  Bench b;
  b.running();
  b.worker_says([](auto& m) {
    auto* call = m.mutable_denied()->add_calls();
    call->set_name("ptrace");
    call->set_count(2);
  });
  b.until("denied ptrace × 2");
}

TEST_CASE("what an instance's probes say reaches the engine with what was printed") {
  Bench b;
  StartOrder order = b.order();
  order.manifest.spec.liveness.probe =
      ExecProbe{.command = {"check"}, .every = 10s, .timeout = 1s, .failures = 2};
  b.effects->start(std::move(order));
  b.until("present");
  CHECK(b.hear_worker().attach().launch().probes_size() == 1);
  auto page = StatusPageWriter::map(b.instance().page.get());
  REQUIRE(page);
  b.worker_says([&](auto& m) {
    m.mutable_started()->set_exec_boottime_ns(static_cast<std::uint64_t>(b.clock.boot().count()));
  });
  b.until("executed");
  for (int i = 1; i <= 2; ++i) {
    page->record_probe(ProbeKind::kLiveness, {.outcome = ProbeOutcome::kExited, .value = 4});
    b.worker_says([](auto& m) {
      m.mutable_probe_result()->set_kind(attach::v1::PROBE_KIND_LIVENESS);
      m.mutable_probe_result()->set_output("no answer");
    });
    std::string text = "failing (" + std::to_string(i) + " of 2)";
    REQUIRE(run_until(*b.loop, [&] { return b.seen.health.view.liveness == text; }));
  }
  CHECK(b.seen.health.health.hung == "liveness probe: exit code 4: no answer (2 of 2)");
}

TEST_CASE("a worker that cannot judge an agent's health is named, and the agent passes for ready") {
  Bench b;
  StartOrder order = b.order();
  order.manifest.spec.readiness.probe =
      ExecProbe{.command = {"check"}, .every = 10s, .timeout = 1s, .failures = 2};
  b.effects->start(std::move(order));
  b.until("present");
  b.worker_says([&](auto& m) {  // its page says nothing of health
    m.mutable_started()->set_exec_boottime_ns(static_cast<std::uint64_t>(b.clock.boot().count()));
  });
  b.until("its health is not judged");
  CHECK(b.seen.health.health.ready);
  CHECK(b.seen.health.view.readiness == "unknown");
}
