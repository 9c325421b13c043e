// Who is started when: dependencies, room, priorities, and how many at a time.
#include <algorithm>

#include <catch2/generators/catch_generators.hpp>

#include "supervisor/control/lifecycle/engine_bench_test.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;
using namespace std::chrono_literals;

namespace {

AgentManifest with(std::string name, std::uint64_t memory, std::uint32_t priority = 50) {
  AgentManifest m = EngineBench::manifest(std::move(name));
  m.spec.resources.memory_bytes = memory;
  m.spec.priority = priority;
  return m;
}

AgentManifest after(std::string name, std::vector<std::string> others) {
  AgentManifest m = EngineBench::manifest(std::move(name));
  m.spec.after = std::move(others);
  return m;
}

long events_of(const EngineBench& b, const std::string& kind, const std::string& agent) {
  return std::ranges::count_if(
      b.events.all, [&](const Event& event) { return event.kind == kind && event.agent == agent; });
}

}  // namespace

TEST_CASE("an agent waits for those that it comes after: until they run, or have ended well") {
  EngineBench b;
  b.apply(after("ledger", {"prices"}));
  CHECK(b.state() == "pending");
  CHECK(b.view()->message == "waits for agent prices, which is not there");
  b.apply(b.manifest("prices"));
  CHECK(b.state("prices") == "preparing");
  CHECK(b.view()->message == "waits for agent prices, which is preparing");
  CHECK(events_of(b, "agent.pending", "ledger") == 1);
  b.effects.take();
  b.running("prices");
  SECTION("it runs") { CHECK(b.state() == "preparing"); }
  SECTION("its end is no matter of who has started") {
    b.running();
    b.ended(Blame::kFailure, Reason::kExitCode, "prices");
    CHECK(b.state() == "running");
  }
}

TEST_CASE("a job that has done its work is what an agent may come after, one that failed is not") {
  EngineBench b;
  AgentManifest job = b.manifest("prices");
  job.spec.restart.policy = RestartPolicy::kNever;
  b.apply(job);
  b.present("prices");
  b.apply(after("ledger", {"prices"}));
  bool well = GENERATE(true, false);
  b.ended(well ? Blame::kSuccess : Blame::kFailure, Reason::kExitCode, "prices");
  b.released("prices");
  CHECK(b.state() == (well ? "preparing" : "pending"));
}

TEST_CASE("agents that would wait for each other are refused, and the ring is named") {
  EngineBench b;
  b.apply(after("a", {"b"}));
  b.apply(after("b", {"c"}));
  SECTION("three") {
    auto refused = b.apply(after("c", {"a"}));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().field == "spec.after");
    CHECK(refused.error().message.find("c after a after b after c") != std::string::npos);
    CHECK_FALSE(b.view("c"));
  }
  SECTION("one") { CHECK_FALSE(b.apply(after("d", {"d"}))); }
  SECTION("no ring") { CHECK(b.apply(after("c", {"d"}))); }
}

TEST_CASE("what does not fit beside the others waits, says why, and starts when there is room") {
  EngineBench b;
  b.apply(with("first", 700 * kMiB));
  b.running("first");
  b.apply(with("second", 400 * kMiB));
  CHECK(b.state("second") == "pending");
  CHECK(b.view("second")->message ==
        "waits for memory: it needs 400Mi, 324Mi of 1Gi are not promised to others");
  CHECK(b.view("second")->reason == "host");
  b.apply(with("small", 100 * kMiB));  // holds up nobody, and is held up by nobody
  CHECK(b.state("small") == "preparing");
  b.engine->stop("first", false, [](auto) {});
  b.run_posted();
  b.ended(Blame::kSuccess, Reason::kSignal, "first");
  CHECK(b.state("second") == "pending");  // its memory is still in use
  b.released("first");
  CHECK(b.state("second") == "preparing");
}

TEST_CASE("of those that wait the higher priority is first, then who has waited longer") {
  EngineBench b;
  b.apply(with("first", 1000 * kMiB));
  b.running("first");
  b.apply(with("old", 600 * kMiB));
  b.clock.advance(1s);
  b.apply(with("young", 600 * kMiB));
  b.clock.advance(1s);
  bool urgent = GENERATE(false, true);
  b.apply(with("urgent", 600 * kMiB, urgent ? 51 : 50));
  b.engine->stop("first", false, [](auto) {});
  b.run_posted();
  b.ended(Blame::kSuccess, Reason::kSignal, "first");
  b.released("first");
  CHECK(b.state(urgent ? "urgent" : "old") == "preparing");
  CHECK(b.state("young") == "pending");
}

TEST_CASE("two starts a core are under way at a time; the others wait for their turn") {
  EngineBench b;  // of two cores
  for (int i = 0; i < 6; ++i) b.apply(with("a" + std::to_string(i), 24 * kMiB));
  auto count = [&](const std::string& state) {
    long n = 0;
    for (int i = 0; i < 6; ++i) n += b.state("a" + std::to_string(i)) == state;
    return n;
  };
  CHECK(count("preparing") == 4);
  CHECK(count("pending") == 2);
  CHECK(events_of(b, "agent.pending", "a5") == 0);  // a turn is nothing to tell of
  b.running("a0");
  CHECK(count("pending") == 1);
}

TEST_CASE("after a recovery the higher priority is first whatever the order of the rows") {
  EngineBench b;
  b.apply(with("a", 600 * kMiB, 10));
  b.apply(with("b", 600 * kMiB, 90));
  CHECK(b.state("a") == "preparing");
  REQUIRE(b.reborn());  // with nothing of it at flodead's
  b.pass(1min);
  CHECK(b.state("b") == "preparing");
}

TEST_CASE("what could never fit is refused at once") {
  EngineBench b;
  b.host.max_memory_bytes = 512 * kMiB;
  b.host.max_pids = 100;
  REQUIRE(b.reborn());
  auto memory = b.apply(with("large", 600 * kMiB));
  REQUIRE_FALSE(memory);
  CHECK(memory.error().field == "spec.resources.memory");
  CHECK(memory.error().remedy.find("max-memory") != std::string::npos);
  AgentManifest many = b.manifest("many");
  many.spec.resources.pids = 101;
  auto pids = b.apply(many);
  REQUIRE_FALSE(pids);
  CHECK(pids.error().field == "spec.resources.pids");
}

TEST_CASE("at a shutdown each agent is stopped before those that it comes after") {
  EngineBench b;
  b.apply(b.manifest("prices"));
  b.running("prices");
  b.apply(after("ledger", {"prices"}));
  b.running("ledger");
  b.apply(after("report", {"ledger", "prices"}));
  b.effects.take();
  b.engine->on_shutdown_requested();
  b.run_posted();
  CHECK(b.effects.take() == Orders{"cancel 1"});
  CHECK(b.state("prices") == "running");
  b.ended(Blame::kBlameless, Reason::kOperator, "report");
  CHECK(b.state("ledger") == "running");  // what is left of the other is still being released
  b.released("report");
  CHECK(b.state("ledger") == "stopping");
  CHECK(b.state("prices") == "running");
  b.ended(Blame::kSuccess, Reason::kSignal, "ledger");
  b.released("ledger");
  CHECK(b.state("prices") == "stopping");
  CHECK(b.closed == 0);
  b.ended(Blame::kSuccess, Reason::kSignal, "prices");
  b.released("prices");
  CHECK(b.closed == 1);
}

TEST_CASE("room that was given to one that could not be stored is not kept for it") {
  EngineBench b;
  b.apply(with("first", 700 * kMiB));
  b.running("first");
  b.ended(Blame::kFailure, Reason::kExitCode, "first");
  b.released("first");
  b.store_fails(true);
  b.pass(200ms);  // its turn, and its generation cannot be stored
  CHECK(b.state("first") == "backoff");
  b.store_fails(false);
  b.apply(with("second", 400 * kMiB));
  CHECK(b.state("second") == "preparing");
  b.effects.take();
  b.pass(200ms);
  CHECK(b.state("first") == "backoff");
  CHECK(b.effects.take().empty());
}

TEST_CASE("the next control knows what an instance of an earlier revision holds") {
  EngineBench b;
  b.apply(with("first", 700 * kMiB));
  b.running("first");
  AgentId id = b.view("first")->id;
  b.apply(with("first", 100 * kMiB));
  b.apply(with("second", 400 * kMiB));
  CHECK(b.state("second") == "pending");
  b.effects.instances = {
      {.agent = id, .generation = {1}, .state = ListedInstance::State::kRunning, .exit = {}}};
  REQUIRE(b.reborn());
  CHECK(b.state("second") == "pending");
  b.ended(Blame::kSuccess, Reason::kSignal, "first");
  b.released("first");
  CHECK(b.state("second") == "preparing");
}
