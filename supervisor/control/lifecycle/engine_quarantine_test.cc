// Who is not served any more after two crashes of control.
#include <algorithm>
#include <chrono>

#include "supervisor/control/lifecycle/engine_bench_test.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;
using namespace std::chrono_literals;

namespace {

using Suspects = std::optional<std::set<AgentId>>;

// Two agents that run, and control after control over them.
struct Fixture : EngineBench {
  Fixture() {
    for (std::string name : {"ledger", "other"}) {
      apply(manifest(name));
      running(name);
      AgentId id = view(name)->id;
      effects.instances.push_back(
          {.agent = id, .generation = {1}, .state = ListedInstance::State::kRunning, .exit = {}});
    }
    effects.take();
  }
  AgentId id(const std::string& name) { return view(name)->id; }
  void next_control(Suspects of_crash) {
    suspects = std::move(of_crash);
    REQUIRE(reborn());
    suspects.reset();
  }
};

}  // namespace

TEST_CASE("an agent that control was at in two crashes in a row is released, not adopted") {
  Fixture f;
  AgentId bad = f.id("ledger");
  AgentId good = f.id("other");
  f.next_control({{bad}});
  CHECK(f.state() == "running");
  f.next_control({});  // killed, not crashed: says nothing, and does not begin anew
  CHECK(f.state() == "running");
  f.effects.take();
  f.events.all.clear();
  f.next_control({{bad, good}});  // twice, and once
  CHECK(f.state() == "failed");
  CHECK(f.state("other") == "running");
  auto orders = f.effects.take();
  CHECK(std::ranges::count(orders, "adopt 1") == 1);
  CHECK(std::ranges::count(orders, "release 1") == 1);
  auto view = f.view();
  CHECK(view->reason == "quarantine");
  CHECK(view->message.find("`flodea start ledger`") != std::string::npos);
  REQUIRE(f.events.all.size() == 1);
  CHECK(f.events.all[0].agent == "ledger");
  CHECK(f.events.all[0].to == "failed");
  CHECK(f.events.all[0].reason == "quarantine");

  SECTION("it stays so for the controls that follow, and over time") {
    f.released();
    f.effects.instances.erase(f.effects.instances.begin());
    f.next_control({});
    f.pass(1h);
    CHECK(f.state() == "failed");
    CHECK(f.view()->reason == "quarantine");
  }
  SECTION("an operator takes it out, after its instance is gone") {
    f.engine->start("ledger", Asked(false, "uid 7"), [](auto) {});
    f.run_posted();
    CHECK(f.effects.take().empty());
    f.engine->on_released(bad, {1});
    f.run_posted();
    CHECK(f.effects.take() == Orders{"start 2"});
  }
}

TEST_CASE("one crash, or two with another agent's calls, put nobody into quarantine") {
  Fixture f;
  AgentId one = f.id("ledger");
  AgentId other = f.id("other");
  f.next_control({{one}});
  f.next_control({{other}});
  f.next_control({std::set<AgentId>{}});
  f.next_control({{one, other}});
  CHECK(f.state() == "running");
  CHECK(f.state("other") == "running");
}

TEST_CASE("where two agents were there at both crashes, the next one tells them apart") {
  Fixture f;
  AgentId bad = f.id("ledger");
  AgentId chatty = f.id("other");
  f.next_control({{bad, chatty}});
  f.next_control({{bad, chatty}});
  CHECK(f.state() == "running");
  CHECK(f.state("other") == "running");
  SECTION("one of them was there again") {
    f.next_control({{bad}});
    CHECK(f.state() == "failed");
    CHECK(f.state("other") == "running");
    f.next_control({{chatty}});  // what was counted before is settled
    CHECK(f.state("other") == "running");
  }
  SECTION("both, always: they are adopted one by one until it shows") {
    f.effects.take();
    for (int crash = 3; crash < 9; ++crash) f.next_control({{bad, chatty}});
    f.effects.adopted_after.clear();
    f.next_control({{bad, chatty}});
    CHECK(f.state() == "running");
    CHECK(f.state("other") == "running");
    auto later = f.effects.adopted_after;
    std::ranges::sort(later);
    CHECK(later.size() == 2);
    CHECK((later[0] > 0s && later[1] >= later[0] + 250ms));
  }
}

TEST_CASE("a conviction that cannot be stored is made again by the next control") {
  Fixture f;
  AgentId bad = f.id("ledger");
  f.next_control({{bad}});
  f.store_fails(true);
  f.next_control({{bad}});
  CHECK(f.state() == "failed");
  f.store_fails(false);
  f.effects.take();
  f.next_control({{bad}});
  CHECK(f.state() == "failed");
  CHECK(std::ranges::count(f.effects.take(), "adopt 1") == 1);  // the other one
}

TEST_CASE("an agent that is to stop, and brings control down instead, is ended at once") {
  Fixture f;
  AgentId id = f.id("ledger");
  f.engine->stop("ledger", Asked(false, "uid 7"), [](auto) {});
  f.run_posted();
  f.next_control({{id}});
  CHECK(f.state() == "stopping");
  f.effects.take();
  f.next_control({{id}});
  CHECK(f.state() == "stopped");
  CHECK(f.view()->reason == "quarantine");
  CHECK(std::ranges::count(f.effects.take(), "release 1") == 1);
}
