#include "supervisor/control/operators/agent_watch.h"

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/operators/testing/fakes.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;
using testing::FakeEvents;
using testing::FakeLifecycle;
using Seen = std::vector<std::string>;

struct Watch {
  FakeLifecycle lifecycle;
  FakeEvents events;
  std::shared_ptr<AgentWatch> watch;
  std::uint64_t cursor = 0;
  int woken = 0;

  void agent(const std::string& name, const std::string& team = "risk") {
    AgentView view;
    view.id = AgentId::random();
    view.manifest.name = name;
    view.manifest.labels["team"] = team;
    view.state = AgentState::kRunning;
    lifecycle.put(view);
  }
  void event(const std::string& name, const std::string& kind = "agent.state") {
    REQUIRE(events.record({.kind = kind, .agent = name}));
  }
  void begin(const pb::WatchAgentsRequest& request = {}) {
    watch = std::move(*AgentWatch::make(request, lifecycle, events));
    watch->on_more([this] { ++woken; });
  }
  void resume(pb::WatchAgentsRequest request = {}) {
    request.set_cursor(cursor);
    begin(request);
  }
  Seen next() {
    auto changes = watch->next();
    REQUIRE(changes);
    Seen seen;
    for (const pb::AgentChange& change : *changes) {
      seen.push_back(pb::AgentChange::Type_Name(change.type()).substr(sizeof "TYPE_" - 1) + " " +
                     change.agent().name());
      if (change.cursor() != 0) cursor = change.cursor();
    }
    return seen;
  }
};

TEST_CASE("a watch begins with the agents there are, and goes on with what changes") {
  Watch w;
  w.agent("a");
  w.agent("b");
  w.begin();
  CHECK(w.next() == Seen{"PRESENT a", "PRESENT b", "SYNCED "});
  CHECK(w.next().empty());
  w.event("b");
  w.event("a");
  w.event("b");
  w.event("a", "agent.limit");
  CHECK(w.next() == Seen{"CHANGED b", "CHANGED a"});  // as they are now: once each
  CHECK(w.next().empty());
  w.lifecycle.remove("a", false, "", [](auto) {});
  w.event("a", "agent.removed");
  CHECK(w.next() == Seen{"REMOVED a"});
  w.agent("c");
  w.event("c", "agent.applied");
  CHECK(w.next() == Seen{"CHANGED c"});
}

TEST_CASE("a watch of nothing says that it is there") {
  Watch w;
  w.begin();
  CHECK(w.next() == Seen{"SYNCED "});
  w.agent("a");
  w.event("a", "agent.applied");  // the first event of all
  CHECK(w.next() == Seen{"CHANGED a"});
}

TEST_CASE("a watch goes on after its cursor without a gap") {
  Watch w;
  w.agent("a");
  w.agent("b");
  w.event("a");
  w.begin();
  w.next();
  w.event("b");  // while nobody watches
  w.lifecycle.remove("a", false, "", [](auto) {});
  w.event("a", "agent.removed");
  w.resume();
  CHECK(w.next() == Seen{"CHANGED b", "REMOVED a"});
  w.resume();
  CHECK(w.next().empty());
}

TEST_CASE("a watch that the log's bound has overtaken tells all agents anew, and who is gone") {
  Watch w;
  w.agent("a");
  w.agent("b");
  w.event("a");
  w.begin();
  w.next();
  w.lifecycle.remove("a", false, "", [](auto) {});
  for (int i = 0; i < 9; ++i) w.event("a", i == 0 ? "agent.removed" : "agent.limit");
  w.events.forgotten = 5;
  CHECK(w.next() == Seen{"PRESENT b", "REMOVED a", "SYNCED "});
  CHECK(w.next().empty());
  w.event("b");
  CHECK(w.next() == Seen{"CHANGED b"});
}

TEST_CASE("a cursor whose events are forgotten, or that never was, begins anew") {
  Watch w;
  w.agent("a");
  for (int i = 0; i < 9; ++i) w.event("a");
  w.events.forgotten = 5;
  w.cursor = 3;
  w.resume();
  CHECK(w.next() == Seen{"PRESENT a", "SYNCED "});
  w.cursor = 100;
  w.resume();
  CHECK(w.next() == Seen{"PRESENT a", "SYNCED "});
  w.cursor = 5;
  w.resume();
  CHECK(w.next() == Seen{"CHANGED a"});
}

TEST_CASE("a watch by label or name hears of those alone, and of one that is selected no more") {
  Watch w;
  w.agent("a");
  w.agent("b", "treasury");
  pb::WatchAgentsRequest request;
  SECTION("label") {
    request.set_selector("team=risk");
    w.begin(request);
    CHECK(w.next() == Seen{"PRESENT a", "SYNCED "});
    w.event("b");
    CHECK(w.next().empty());
    w.agent("a", "treasury");
    w.event("a", "agent.applied");
    CHECK(w.next() == Seen{"REMOVED a"});
  }
  SECTION("name") {
    request.add_names("b");
    w.begin(request);
    CHECK(w.next() == Seen{"PRESENT b", "SYNCED "});
    CHECK_FALSE(w.watch->concerns({.kind = "agent.state", .agent = "a"}));
    CHECK(w.watch->concerns({.kind = "agent.state", .agent = "b"}));
    w.event("a");
    CHECK(w.next().empty());
  }
}

TEST_CASE("a watch that is asked for wrongly is refused with the field") {
  Watch w;
  pb::WatchAgentsRequest request;
  request.set_selector("a=b=c");
  CHECK(AgentWatch::make(request, w.lifecycle, w.events).error().field == "selector");
  request.clear_selector();
  for (int i = 0; i < 1001; ++i) request.add_names("a");
  CHECK(AgentWatch::make(request, w.lifecycle, w.events).error().field == "names");
}

}  // namespace
}  // namespace flodea::control
