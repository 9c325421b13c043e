// Freezing under memory pressure: the judgement, and the engine that follows it.
#include <algorithm>

#include "supervisor/control/lifecycle/engine_bench_test.h"
#include "supervisor/control/lifecycle/pressure.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;
using namespace std::chrono_literals;

namespace {

AgentId id(char digit) { return *AgentId::parse(std::string(32, digit)); }

struct PressureBench : EngineBench {
  PressureBench() {
    AgentManifest low = manifest();
    low.spec.priority = 10;
    REQUIRE(apply(low));
    running();
    effects.take();
  }
  void look(double pressure) {
    effects.pressure = pressure;
    clock.advance(kPressurePeriod);
    for (auto& task : std::exchange(effects.looks, {})) task();
    run_posted();
  }
  bool told(const std::string& kind) {
    return std::ranges::find(events.all, kind, &Event::kind) != events.all.end();
  }
};

}  // namespace

TEST_CASE("pressure is read from PSI's first line, and from nothing else") {
  CHECK(parse_pressure("some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=…") == 12.5);
  for (const char* text :
       {"", "full avg10=1.0", "some avg10=", "some avg10=x", "some avg10=-1", "some avg10=101"})
    CHECK_FALSE(parse_pressure(text));
}

TEST_CASE(
    "the lowest priority is frozen first, of those the largest; they go on in opposite order") {
  std::vector<Freezable> agents{
      {.id = id('a'), .priority = 20, .memory_bytes = 9, .idle = true, .frozen = false},
      {.id = id('b'), .priority = 10, .memory_bytes = 1, .idle = true, .frozen = false},
      {.id = id('c'), .priority = 10, .memory_bytes = 5, .idle = true, .frozen = false},
      {.id = id('d'), .priority = 50, .memory_bytes = 9, .idle = true, .frozen = false},
      {.id = id('e'), .priority = 1, .memory_bytes = 9, .idle = false, .frozen = false}};
  std::string order;
  for (int i = 0; i < 5; ++i) {
    FreezeStep step = judge_pressure(30, agents);
    CHECK_FALSE(step.thaw);
    if (!step.freeze) break;
    auto it = std::ranges::find(agents, *step.freeze, &Freezable::id);
    it->frozen = true;
    order += it->id.text()[0];
  }
  CHECK(order == "cba");  // never d, which has the default priority, nor e, which works
  FreezeStep between = judge_pressure(10, agents);
  CHECK_FALSE(between.freeze);
  CHECK_FALSE(between.thaw);
  std::string back;
  for (int i = 0; i < 5; ++i) {
    FreezeStep step = judge_pressure(1, agents);
    if (!step.thaw) break;
    auto it = std::ranges::find(agents, *step.thaw, &Freezable::id);
    it->frozen = false;
    back += it->id.text()[0];
  }
  CHECK(back == "abc");
}

TEST_CASE("an idle agent is frozen while the host is short of memory, and thawed after") {
  PressureBench b;
  b.look(90);  // nothing is known yet of what it uses
  CHECK(b.effects.take().empty());
  b.look(90);
  CHECK(b.effects.take() == Orders{"freeze 1"});
  CHECK(b.view()->frozen);
  CHECK(b.told("agent.frozen"));
  b.look(90);
  CHECK(b.effects.take().empty());
  b.look(1);
  CHECK(b.effects.take() == Orders{"thaw 1"});
  CHECK_FALSE(b.view()->frozen);
}

TEST_CASE("where the pressure cannot be read any more everybody goes on") {
  PressureBench b;
  b.look(90);
  b.look(90);
  b.effects.take();
  b.effects.pressure.reset();
  for (auto& task : std::exchange(b.effects.looks, {})) task();
  CHECK(b.effects.take() == Orders{"thaw 1"});
}

TEST_CASE("one that works is not frozen") {
  PressureBench b;
  b.look(90);
  b.effects.cpu_nanos += 1'000'000'000;
  b.look(90);
  CHECK(b.effects.take().empty());
}

TEST_CASE("an answer to a call of it, and a stop, thaw at once") {
  PressureBench b;
  b.look(90);
  b.look(90);
  b.effects.take();
  SECTION("an answer") {
    b.engine->agent_answered(b.view()->id);
    b.run_posted();
    CHECK(b.effects.take() == Orders{"thaw 1"});
  }
  SECTION("a stop") {
    b.engine->stop("ledger", false, [](auto) {});
    b.run_posted();
    CHECK(b.effects.take() == Orders{"thaw 1", "stop 1 operator"});
  }
}

TEST_CASE("without an agent that could be frozen nobody looks") {
  EngineBench b;
  REQUIRE(b.apply(b.manifest()));
  b.running();
  for (auto& task : std::exchange(b.effects.looks, {})) task();  // that of the recovery
  CHECK(b.effects.looks.empty());
}
