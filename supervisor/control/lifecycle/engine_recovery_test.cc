// What the engine stores before it acts, and what the next one makes of it.
#include <chrono>

#include "supervisor/control/lifecycle/engine_bench_test.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;
using namespace std::chrono_literals;

TEST_CASE("an agent survives the death of control: the next one adopts it") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.take();
  AgentId id = b.view()->id;
  b.effects.instances = {
      {.agent = id, .generation = {1}, .state = ListedInstance::State::kRunning, .exit = {}}};
  REQUIRE(b.reborn());
  CHECK(b.effects.take() == Orders{"logs", "adopt 1"});
  CHECK(b.state() == "running");
  b.engine->on_present(id, {1}, {.uid_base = 5, .executed = b.clock.monotonic(), .ready = false});
  b.run_posted();
  CHECK(b.state() == "running");
  CHECK(b.view()->restarts == 0);
  CHECK(b.effects.take().empty());
}

TEST_CASE("after a death of control, an agent that was stopping is still stopped gracefully") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.engine->stop("ledger", false, [](auto) {});
  b.run_posted();
  b.effects.take();
  AgentId id = b.view()->id;
  b.effects.instances = {
      {.agent = id, .generation = {1}, .state = ListedInstance::State::kRunning, .exit = {}}};
  REQUIRE(b.reborn());
  b.engine->on_present(id, {1}, {.uid_base = 5, .executed = b.clock.monotonic(), .ready = false});
  CHECK(b.effects.take() == Orders{"logs", "adopt 1", "stop 1 operator"});
}

TEST_CASE("an agent whose instance is gone is started again; one that had stopped is not") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  SECTION("it ran") {
    REQUIRE(b.reborn());
    b.effects.take();
    b.pass(1s);
    CHECK(b.effects.take() == Orders{"start 2"});
  }
  SECTION("it had stopped by itself") {
    b.ended(Blame::kSuccess);
    b.released();
    b.effects.take();
    REQUIRE(b.reborn());
    b.pass(1h);
    CHECK(b.effects.take() == Orders{"logs"});
    CHECK(b.state() == "stopped");
  }
}

TEST_CASE(
    "instances that state.db does not know are removed, and an agent waits for that before it "
    "starts") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.ended();
  b.released();
  AgentId id = b.view()->id;
  AgentId stranger = AgentId::random();
  b.effects.instances = {
      {.agent = stranger, .generation = {4}, .state = ListedInstance::State::kRunning, .exit = {}},
      {.agent = id, .generation = {9}, .state = ListedInstance::State::kRunning, .exit = {}}};
  b.effects.take();
  REQUIRE(b.reborn());
  CHECK(b.effects.take() == Orders{"logs", "release 4", "release 9"});
  b.pass(1h);
  CHECK(b.effects.take().empty());
  b.engine->on_released(id, {9});
  b.pass(1ms);
  CHECK(b.effects.take() == Orders{"start 2"});
}

TEST_CASE("a removal goes on after a death of control, and can be asked for again when it failed") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.destroy_fails = true;
  std::optional<Code> failed;
  b.engine->remove("ledger", false, "",
                   [&](auto r) { failed = r ? std::optional<Code>() : r.error().code; });
  b.run_posted();
  b.ended();
  b.released();
  CHECK(failed == Code::kUnavailable);
  CHECK(b.view());
  b.effects.destroy_fails = false;
  REQUIRE(b.reborn());
  CHECK_FALSE(b.view());
}

TEST_CASE("a removal that failed is tried again without being asked for") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.destroy_fails = true;
  b.engine->remove("ledger", false, "", [](auto) {});
  b.run_posted();
  b.ended();
  b.released();
  b.effects.take();
  std::size_t looks = b.effects.looks.size();
  REQUIRE(looks > 0);
  b.effects.looks.back()();
  b.run_posted();
  CHECK(b.effects.take() == Orders{"destroy all"});
  REQUIRE(b.effects.looks.size() == looks + 1);
  b.effects.destroy_fails = false;
  b.effects.looks.back()();
  b.run_posted();
  CHECK_FALSE(b.view());
}

TEST_CASE("a volume that is to be kept is kept, also where control died before it knew of it") {
  EngineBench b;
  b.apply(b.manifest());  // flodead makes the volume, and control dies
  AgentId id = b.view()->id;
  REQUIRE(b.reborn());
  b.engine->remove("ledger", true, "", [](auto) {});
  b.run_posted();
  CHECK_FALSE(b.view());
  b.effects.take();
  b.apply(b.manifest());
  CHECK(b.view()->id == id);
  CHECK(b.effects.take() == Orders{"logs", "start 2 new"});  // asked for: it may not be there
}

TEST_CASE("an instance whose end was accounted for is killed once when the next control finds it") {
  EngineBench b;
  b.apply(b.manifest());
  AgentId id = b.view()->id;
  b.ended(Blame::kHopeless);  // no answer came: it may be there all the same
  b.effects.instances = {
      {.agent = id, .generation = {1}, .state = ListedInstance::State::kRunning, .exit = {}}};
  REQUIRE(b.reborn());
  b.effects.take();
  b.present();
  CHECK(b.effects.take() == Orders{"kill 1 operator"});
  b.pass(kKillAgain);
  CHECK(b.effects.take() == Orders{"kill 1 operator"});
  b.ended();
  CHECK(b.effects.take() == Orders{"release 1"});
  b.released();
  CHECK(b.state() == "failed");
}

TEST_CASE("an instance whose generation cannot be stored is not started, and is tried again") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.ended();
  b.released();
  b.effects.take();
  b.events.all.clear();
  b.store_fails(true);
  b.pass(200ms);  // its backoff is over
  CHECK(b.effects.take().empty());
  CHECK(b.state() == "backoff");
  CHECK(b.view()->reason == "host");
  CHECK(b.view()->message.find("disk is full") != std::string::npos);
  b.pass(199ms);
  b.pass(1ms);  // a second attempt, and no event of its own
  CHECK(b.effects.take().empty());
  REQUIRE(b.events.all.size() == 1);
  CHECK(b.events.all[0].reason == "host");
  CHECK(b.events.all[0].message.find("disk is full") != std::string::npos);
  SECTION("once it can be stored it starts") {
    b.store_fails(false);
    b.pass(399ms);
    CHECK(b.effects.take().empty());
    b.pass(1ms);
    CHECK(b.effects.take() == Orders{"start 2"});
    CHECK(b.view()->reason == "exit code");
  }
  SECTION("the next control finds nothing that it does not know") {
    b.store_fails(false);
    REQUIRE(b.reborn());
    b.pass(1h);
    CHECK(b.effects.take() == Orders{"logs", "start 2"});
  }
}

TEST_CASE("a start that waits for the store is not forgotten when something else comes up") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.engine->restart("ledger", false, [](auto) {});
  b.run_posted();
  b.ended();
  b.store_fails(true);
  b.released();
  CHECK(b.state() == "pending");
  b.engine->on_wake(b.view()->id);
  b.run_posted();
  b.store_fails(false);
  b.effects.take();
  b.pass(400ms);
  CHECK(b.effects.take() == Orders{"start 2"});
}

TEST_CASE("a change of an instance that exists goes on unstored, and is stored later") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  AgentId id = b.view()->id;
  b.effects.take();
  b.store_fails(true);
  b.ended(Blame::kSuccess);
  CHECK(b.effects.take() == Orders{"release 1"});
  b.released();
  CHECK(b.state() == "stopped");
  CHECK(b.view()->reason == "host");
  b.store_fails(false);
  b.pass(1s);
  CHECK(b.view()->reason == "exit code");
  REQUIRE(b.reborn());
  b.effects.take();
  b.pass(1h);
  CHECK(b.effects.take().empty());  // known to have stopped by itself
  CHECK(b.view()->id == id);
}

TEST_CASE("after the death of the host no generation is used that it may have forgotten") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.take();
  b.host.boot_id = "the next";
  REQUIRE(b.reborn());
  b.pass(1s);
  CHECK(b.effects.take() == Orders{"logs", "start 64"});
  b.running();
  REQUIRE(b.reborn());  // control alone has died: flodead has nothing, the boot is the same
  b.effects.take();
  b.pass(1s);
  CHECK(b.effects.take() == Orders{"start 65"});
}
