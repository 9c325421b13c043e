#include "supervisor/control/root_client/root_client.h"

#include <fcntl.h>

#include <filesystem>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/root_client/testing/fake_root_service.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;
using namespace std::chrono_literals;

namespace {

struct Events final : RootEvents {
  std::vector<InstanceExit> exits;
  std::vector<ServiceChange> services;
  int shutdowns = 0, lost = 0;
  void on_instance_exited(const InstanceExit& exit) override { exits.push_back(exit); }
  void on_service_changed(const ServiceChange& change) override { services.push_back(change); }
  void on_shutdown_requested() override { ++shutdowns; }
  void on_root_lost(const Error&) override { ++lost; }
};

struct Bench {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  Events events;
  std::unique_ptr<FakeRoot> root;
  std::unique_ptr<RootClient> client;

  explicit Bench(Nanos patience = 30s) {
    auto pair = make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    root = std::make_unique<FakeRoot>(*loop, std::move(pair->second));
    client = std::move(*RootClient::create(*loop, std::move(pair->first), events, patience));
  }
  // Runs until the answer is there, and gives it.
  template <class T, class Ask>
  Result<T> ask(Ask request) {
    std::optional<Result<T>> answer;
    request([&](Result<T> r) { answer.emplace(std::move(r)); });
    REQUIRE(run_until(*loop, [&] { return answer.has_value(); }));
    return std::move(*answer);
  }
  Result<StartedInstance> start(const AgentId& id) {
    StartRequest request{.agent = id,
                         .generation = {1},
                         .hostname = "a",
                         .bundle = *BundleDigest::from_hex(std::string(64, 'a')),
                         .runtime = "python",
                         .resources = {}};
    return ask<StartedInstance>([&](auto done) { client->start(request, done); });
  }
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

const AgentId kAgent = AgentId::random();

}  // namespace

TEST_CASE("the greeting brings the host's figures and the state of every service") {
  Bench b;
  auto facts = b.ask<HostFacts>([&](auto done) { b.client->hello(done); });
  REQUIRE(facts);
  CHECK(facts->epoch.value == 7);
  CHECK(facts->cpus == 2);
  REQUIRE(facts->services.size() == 2);
  CHECK(facts->services[0].name == "flodea-vault");
  CHECK_FALSE(facts->services[0].up);
  CHECK(facts->services[0].restarts == 4);
  CHECK(facts->services[1].up);
}

TEST_CASE("a start brings the instance's descriptors and figures") {
  Bench b;
  auto started = b.start(kAgent);
  REQUIRE(started);
  CHECK(started->worker_pid == 42);
  CHECK(started->uid_base == 70000);
  CHECK(started->phases.at(0).name == "clone");
  CHECK(StatusPageReader::map(started->fds.page.get()));
}

TEST_CASE("a refusal carries code, step and remedy") {
  Bench b;
  rootpb::Reply& refusal = b.root->refusals["start"];
  refusal.set_code(8);
  refusal.set_message("no room");
  refusal.set_step("cgroup memory");
  refusal.set_remedy("stop agents");
  auto started = b.start(kAgent);
  REQUIRE_FALSE(started);
  CHECK(started.error().code == Code::kResourceExhausted);
  CHECK(started.error().message == "cgroup memory: no room");
  CHECK(started.error().remedy == "stop agents");
}

TEST_CASE("a reply that does not come is asked for again, then given up") {
  Bench b(5ms);
  b.root->silent.insert("hello");
  auto facts = b.ask<HostFacts>([&](auto done) { b.client->hello(done); });
  CHECK(facts.error().code == Code::kDeadlineExceeded);
  CHECK(b.root->asked.size() == RootClient::kAttempts);
  b.root->silent.clear();
  CHECK(b.ask<HostFacts>([&](auto done) { b.client->hello(done); })->epoch.value == 7);
}

TEST_CASE("a reply that comes twice is answered once, and its descriptors are closed") {
  Bench b;
  b.root->twice = true;
  REQUIRE(b.start(kAgent));
  std::size_t before = open_descriptors();
  for (int i = 0; i < 50; ++i) REQUIRE(b.start(kAgent));
  REQUIRE(b.ask<HostFacts>(
      [&](auto done) { b.client->hello(done); }));  // all that was sent has been read
  CHECK(open_descriptors() == before);
}

TEST_CASE("garbage and replies to nobody are ignored") {
  Bench b;
  b.root->send_raw("\xff\xff garbage");
  rootpb::Reply stranger;
  stranger.set_id(99);
  b.root->send_event(stranger);
  CHECK(b.ask<HostFacts>([&](auto done) { b.client->hello(done); }));
}

TEST_CASE("the inventory is read page by page") {
  Bench b;
  for (int i = 0; i < 5; ++i) REQUIRE(b.start(AgentId::random()));
  auto all = b.ask<std::vector<ListedInstance>>([&](auto done) { b.client->list(done); });
  REQUIRE(all);
  CHECK(all->size() == 5);
}

TEST_CASE("events arrive beside replies") {
  Bench b;
  REQUIRE(b.start(kAgent));
  b.root->exit({kAgent.text(), 1}, true, 9);
  rootpb::Reply shutdown;
  shutdown.mutable_shutdown_requested();
  b.root->send_event(shutdown);
  REQUIRE(run_until(*b.loop, [&] { return b.events.shutdowns == 1; }));
  REQUIRE(b.events.exits.size() == 1);
  CHECK(b.events.exits[0].agent == kAgent);
  CHECK(b.events.exits[0].signaled);
}

TEST_CASE("when flodead is gone, everything pending ends at once, and later requests too") {
  Bench b;
  b.root->silent = {"hello", "list"};
  int failed = 0;
  b.client->hello([&](auto r) { failed += !r; });
  b.client->list([&](auto r) { failed += !r; });
  b.root->hang_up();
  REQUIRE(run_until(*b.loop, [&] { return failed == 2; }));
  CHECK(b.events.lost == 1);
  auto late = b.ask<HostFacts>([&](auto done) { b.client->hello(done); });
  CHECK(late.error().code == Code::kUnavailable);
}
