#include "supervisor/control/lifecycle/engine.h"

#include <algorithm>

#include <catch2/generators/catch_generators.hpp>

#include "supervisor/control/lifecycle/engine_bench_test.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;
using namespace std::chrono_literals;

namespace {

NodeStatus node_of(EngineBench& b) {
  NodeStatus out;
  b.engine->node([&](Result<NodeStatus> node) { out = std::move(node).value(); });
  b.run_posted();
  return out;
}

}  // namespace

TEST_CASE("apply stores, starts, and the same manifest again changes nothing") {
  EngineBench b;
  auto created = b.apply(b.manifest());
  REQUIRE(created);
  CHECK(created->kind == ApplyOutcome::Kind::kCreated);
  CHECK(b.effects.take() == Orders{"start 1 new"});
  b.running();
  CHECK(b.state() == "running");
  CHECK(b.metrics.starts == 1);
  auto again = b.apply(b.manifest());
  CHECK(again->kind == ApplyOutcome::Kind::kUnchanged);
  CHECK(b.effects.take().empty());
}

TEST_CASE("a changed spec replaces the instance under a new revision; changed labels do not") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.take();
  AgentManifest m = b.manifest();
  m.labels["team"] = "treasury";
  CHECK(b.apply(m)->kind == ApplyOutcome::Kind::kChanged);
  CHECK(b.effects.take().empty());
  m.spec.resources.pids = 7;
  CHECK(b.apply(m)->agent.revision == 3);
  CHECK(b.effects.take() == Orders{"stop 1 replace"});
  b.ended();
  CHECK(b.effects.take() == Orders{"release 1"});
  b.released();
  CHECK(b.effects.take() == Orders{"start 2"});
}

TEST_CASE("what this host could never hold is refused at apply, and nothing is half made") {
  EngineBench b;
  AgentManifest m = b.manifest();
  std::string field;
  SECTION("memory") { m.spec.resources.memory_bytes = 2ull << 30, field = "spec.resources.memory"; }
  SECTION("cpu") { m.spec.resources.cpu_millis = 2001, field = "spec.resources.cpu"; }
  SECTION("disk") { m.spec.resources.disk_bytes = 11ull << 30, field = "spec.resources.disk"; }
  SECTION("runtime") { m.spec.runtime.type = "perl", field = "spec.runtime.type"; }
  auto refused = b.apply(m);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().field == field);
  CHECK_FALSE(refused.error().remedy.empty());
  CHECK(b.effects.take().empty());
  CHECK_FALSE(b.view());
}

TEST_CASE("a runtime that is too old or not there is refused at apply, naming both versions") {
  EngineBench b;
  auto [found, said] = GENERATE(table<std::string, std::string>(
      {{"3.9.18", "/usr/bin/python3 is 3.9.18, 3.11 or newer is needed"},
       {"2.7", "is 2.7, 3.11"},
       {"3", "is 3, 3.11"},
       {"", "there is no /usr/bin/python3, 3.11 or newer is needed"}}));
  b.host.runtimes = {{"javascript", "20.1.0"}};
  if (!found.empty()) b.host.runtimes["python"] = found;
  REQUIRE(b.reborn());
  auto refused = b.apply(b.manifest());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::kFailedPrecondition);
  CHECK(refused.error().field == "spec.runtime.type");
  CHECK(refused.error().message.find(said) != std::string::npos);
  CHECK(refused.error().remedy ==
        "install 3.11 or newer as /usr/bin/python3, then restart flodead");
  const std::vector<std::string> missing = node_of(b).missing;
  CHECK(std::ranges::any_of(missing, [&](const std::string& line) {
    return line.starts_with("runtime python: ") && line.find(said) != std::string::npos;
  }));
}

TEST_CASE("a runtime of the version that is needed, or a newer one, is taken") {
  EngineBench b;
  b.host.runtimes["python"] = GENERATE("3.11", "3.11.0rc1", "3.12.1", "4", "10.0");
  REQUIRE(b.reborn());
  CHECK(b.apply(b.manifest()));
  const std::vector<std::string> missing = node_of(b).missing;
  CHECK(std::ranges::none_of(
      missing, [](const std::string& line) { return line.starts_with("runtime python"); }));
}

TEST_CASE(
    "a limit that this host cannot enforce is refused at apply, naming field and controller") {
  EngineBench b;
  auto [limit, field, controller] = GENERATE(table<std::string, std::string, std::string>(
      {{"memory", "spec.resources.memory", "memory controller"},
       {"swap", "spec.resources.memory", "swap"},
       {"pids", "spec.resources.pids", "pids controller"},
       {"cpu", "spec.resources.cpu", "cpu controller"}}));
  std::erase(b.host.limits, limit);
  REQUIRE(b.reborn());
  auto refused = b.apply(b.manifest());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::kFailedPrecondition);
  CHECK(refused.error().field == field);
  CHECK(refused.error().message.find(controller) != std::string::npos);
  CHECK_FALSE(refused.error().remedy.empty());
  CHECK_FALSE(b.view());
}

TEST_CASE("what this host cannot enforce is told of each agent and of the node") {
  EngineBench b;
  b.host.missing = {"io bandwidth of buffered writes"};
  REQUIRE(b.reborn());
  b.apply(b.manifest());
  CHECK(b.view()->missing == b.host.missing);
  Result<NodeStatus> node = fail(Code::kUnknown, "no answer");
  b.engine->node([&](auto r) { node = std::move(r); });
  b.run_posted();
  CHECK(node->missing == b.host.missing);
}

TEST_CASE("a disk neither shrinks nor grows") {
  EngineBench b;
  b.apply(b.manifest());
  AgentManifest m = b.manifest();
  m.spec.resources.disk_bytes = GENERATE(64 * kMiB, 256 * kMiB);
  auto refused = b.apply(m);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::kFailedPrecondition);
  CHECK(refused.error().field == "spec.resources.disk");
}

TEST_CASE("waits end when the agent runs, has stopped by itself, or has failed") {
  EngineBench b;
  std::string seen;
  auto wait = [&](AgentManifest m) {
    b.engine->apply(std::move(m), {.start = true, .wait = true},
                    [&](auto r) { seen = r ? state_name(r->agent.state) : "error"; });
    b.run_posted();
  };
  SECTION("runs") {
    wait(b.manifest());
    b.present();
    CHECK(seen.empty());
    b.executed();
    CHECK(seen == "running");
  }
  SECTION("fails") {
    AgentManifest m = b.manifest();
    m.spec.restart.policy = RestartPolicy::kNever;
    wait(m);
    b.ended();
    CHECK(seen.empty());
    b.released();
    CHECK(seen == "failed");
  }
  SECTION("control ends") {
    wait(b.manifest());
    b.engine->end_waits();
    CHECK(seen == "error");
  }
}

TEST_CASE("stop, start and restart") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.take();
  std::string stopped;
  b.engine->stop("ledger", true, [&](auto r) { stopped = r ? state_name(r->state) : "error"; });
  b.run_posted();
  CHECK(b.effects.take() == Orders{"stop 1 operator"});
  b.ended(Blame::kSuccess);
  b.released();
  CHECK(stopped == "stopped");
  CHECK(b.view()->reason == "operator");
  b.effects.take();
  b.engine->start("ledger", false, [](auto) {});
  b.run_posted();
  CHECK(b.effects.take() == Orders{"start 2"});
  b.running();
  b.engine->restart("ledger", false, [](auto) {});
  b.run_posted();
  CHECK(b.effects.take() == Orders{"stop 2 replace"});
}

TEST_CASE("a start while what is left of an ended agent is released is not lost") {
  EngineBench b;
  AgentManifest m = b.manifest();
  m.spec.restart.policy = RestartPolicy::kNever;
  b.apply(m);
  b.running();
  b.ended();
  CHECK(b.state() == "stopping");
  b.engine->start("ledger", false, [](auto) {});
  b.run_posted();
  b.effects.take();
  b.released();
  CHECK(b.effects.take() == Orders{"start 2"});
}

TEST_CASE("a start in backoff does not wait for it, and forgives") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.ended();
  b.released();
  CHECK(b.state() == "backoff");
  CHECK(b.view()->next_start.has_value());
  b.effects.take();
  b.engine->start("ledger", false, [](auto) {});
  b.run_posted();
  CHECK(b.effects.take() == Orders{"start 2"});
  CHECK(b.view()->restarts == 0);
}

TEST_CASE("backoff ends by the clock") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.ended();
  b.released();
  b.effects.take();
  b.pass(199ms);
  CHECK(b.effects.take().empty());
  b.pass(1ms);
  CHECK(b.effects.take() == Orders{"start 2"});
  CHECK(b.metrics.restarts == 1);
}

TEST_CASE("late, doubled and foreign events change nothing") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  AgentId id = b.view()->id;
  b.effects.take();
  b.present();
  b.executed();
  b.engine->on_ended(id, {0}, {});
  b.engine->on_released(id, {1});
  b.engine->on_ended(AgentId::random(), {1}, {});
  b.run_posted();
  CHECK(b.state() == "running");
  b.ended();
  b.ended();
  CHECK(b.effects.take() == Orders{"release 1"});
}

TEST_CASE("rm stops, destroys, forgets, and hands out the receipt") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.take();
  Result<RemovalReceipt> receipt = fail(Code::kUnknown, "no answer");
  bool keep = GENERATE(false, true);
  b.engine->remove("ledger", keep, "uid 7", [&](auto r) { receipt = std::move(r); });
  b.run_posted();
  CHECK(b.effects.take() == Orders{"stop 1 operator"});
  CHECK(b.apply(b.manifest()).error().code == Code::kAborted);
  AgentId id = b.view()->id;
  b.ended(Blame::kSuccess);
  b.released();
  CHECK(b.effects.take() == Orders{"release 1", keep ? "destroy logs" : "destroy all"});
  REQUIRE(receipt);
  CHECK(receipt->key_digest == (keep ? "" : "d1"));
  CHECK_FALSE(b.view());
  CHECK(b.metrics.forgotten == 1);
  REQUIRE(b.apply(b.manifest()));
  CHECK((b.view()->id == id) == keep);
  CHECK(b.view()->generation.value ==
        (keep ? 2 : 1));  // never an instance number twice on one volume
}

TEST_CASE("a volume that was kept is told of until an agent has it again") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  AgentId id = b.view()->id;
  b.engine->remove("ledger", true, "uid 7", [](auto) {});
  b.run_posted();
  b.ended(Blame::kSuccess);
  b.released();
  auto node = [&] {
    NodeStatus out;
    b.engine->node([&](auto status) { out = *status; });
    b.run_posted();
    return out;
  };
  CHECK(node().kept_volumes.size() == 1);
  CHECK(node().disk_promised == node().kept_volumes["ledger"]);
  REQUIRE(b.apply(b.manifest()));
  CHECK(b.view()->id == id);
  CHECK(node().kept_volumes.empty());
  CHECK(node().disk_promised == b.manifest().spec.resources.disk_bytes);
}

TEST_CASE("who hears of a removal finds no such agent any more") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  std::string known = "not heard";
  AgentId id = b.view()->id;
  b.events.on_record = [&](const Event& event) {
    if (event.kind == "agent.removed") known = b.engine->name_of(id);
  };
  b.engine->remove("ledger", false, "", [](auto) {});
  b.run_posted();
  b.ended(Blame::kSuccess);
  b.released();
  CHECK(known.empty());
}

TEST_CASE("a shutdown stops agents gracefully and leaves their desired state") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.take();
  b.engine->on_shutdown_requested();
  b.run_posted();
  CHECK(b.effects.take() == Orders{"stop 1 shutdown"});
  CHECK(b.closed == 0);
  CHECK(b.apply(b.manifest("other")).error().code == Code::kUnavailable);
  b.ended(Blame::kSuccess);
  b.released();
  CHECK(b.closed == 1);
  b.effects.take();
  REQUIRE(b.reborn());
  CHECK(b.effects.take() == Orders{"logs", "start 2"});
}

TEST_CASE(
    "however many list the agents, their usage is read once a second; of one it is read at once") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  auto list = [&] {
    bool told = false;
    b.engine->list([&](auto views) { told = views && views->at(0).usage.has_value(); });
    b.run_posted();
    CHECK(told);
  };
  for (int i = 0; i < 5; ++i) list();
  CHECK(b.effects.usage_read == 1);
  b.pass(999ms);
  list();
  CHECK(b.effects.usage_read == 1);
  b.pass(1ms);
  list();
  CHECK(b.effects.usage_read == 2);
  b.view();
  CHECK(b.effects.usage_read == 3);
}

TEST_CASE("every change of state is an event with its reason") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.ended(Blame::kFailure, Reason::kOom);
  Orders seen;
  for (const Event& event : b.events.all) {
    if (event.kind == "agent.state")
      seen.push_back(event.from + ">" + event.to + ":" + event.reason);
  }
  CHECK(seen == Orders{"pending>preparing:operator", "preparing>starting:operator",
                       "starting>running:operator", "running>backoff:oom"});
}

TEST_CASE("the node shows every service from the greeting on, and then what changes") {
  EngineBench b;
  b.host.services = {{.name = "flodea-control", .restarts = 1},
                     {.name = "flodea-vault", .up = false, .restarts = 2}};
  REQUIRE(b.reborn([](Engine& engine) {
    engine.on_service({.service = "flodea-vault", .up = true, .why = "started", .restarts = 1});
  }));
  auto services = [&] {
    Result<NodeStatus> node = fail(Code::kUnknown, "no answer");
    b.engine->node([&](auto r) { node = std::move(r); });
    b.run_posted();
    Orders out;
    for (const ServiceStatus& s : node->services)
      out.push_back(s.name + (s.up ? " up " : " down ") + std::to_string(s.restarts));
    return out;
  };
  CHECK(services() == Orders{"flodea-control up 1", "flodea-vault down 2"});
  b.engine->on_service({.service = "flodea-vault", .up = true, .why = "started", .restarts = 3});
  CHECK(services() == Orders{"flodea-control up 1", "flodea-vault up 3"});
}

TEST_CASE("what flodead tells before the recovery is heard, and hurts nothing") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  b.effects.instances = {{.agent = b.view()->id,
                          .generation = {1},
                          .state = ListedInstance::State::kRunning,
                          .exit = {}}};
  bool closing = GENERATE(false, true);
  REQUIRE(b.reborn([&](Engine& engine) {
    engine.on_service({.service = "flodea-control", .up = true, .why = "started", .restarts = 3});
    if (closing) engine.on_shutdown_requested();
  }));
  CHECK(b.metrics.service_restarts == 1);
  CHECK(b.state() == (closing ? "stopping" : "running"));
  CHECK(b.closed == 0);  // an agent is still to be stopped
}

namespace {

// Applies whose preparation the test ends.
struct PreparingBench : EngineBench {
  std::vector<Effects::Callback<void>> preparing;
  std::vector<std::string> answers;

  PreparingBench() {
    effects.preparing = [this](const AgentSpec&, Effects::Callback<void> done) {
      preparing.push_back(std::move(done));
    };
  }
  void ask(const std::string& name, std::uint32_t cpu_millis) {
    auto m = manifest(name);
    m.spec.resources.cpu_millis = cpu_millis;
    engine->apply(std::move(m), {.start = true}, [this, name, cpu_millis](auto r) {
      answers.push_back(name + " " + std::to_string(cpu_millis) +
                        (r ? "" : " " + r.error().message));
    });
    run_posted();
  }
  void prepared(std::size_t index, Status status = {}) {
    preparing.at(index)(std::move(status));
    run_posted();
  }
};

}  // namespace

TEST_CASE("one agent's applies are prepared in their order, and another agent's beside them") {
  PreparingBench b;
  b.ask("ledger", 700);
  b.ask("ledger", 500);
  b.ask("other", 300);
  CHECK(b.preparing.size() == 2);
  b.prepared(1);
  CHECK(b.answers == std::vector<std::string>{"other 300"});
  b.prepared(0);
  REQUIRE(b.preparing.size() == 3);
  CHECK(b.view()->manifest.spec.resources.cpu_millis == 700);
  b.prepared(2);
  CHECK(b.answers.back() == "ledger 500");
  CHECK(b.view()->manifest.spec.resources.cpu_millis == 500);
}

TEST_CASE("what an agent needs and cannot have made refuses its apply, and nothing is half made") {
  PreparingBench b;
  b.ask("ledger", 700);
  b.prepared(0, fail(Code::kInvalidArgument, "main.wasm: unknown import env.gift"));
  CHECK(b.answers.back() == "ledger 700 agent ledger: main.wasm: unknown import env.gift");
  CHECK_FALSE(b.view());
  b.ask("ledger", 500);
  b.prepared(1);
  CHECK(b.answers.back() == "ledger 500");
  b.ask("ledger", 300);
  b.prepared(2, fail(Code::kInvalidArgument, "main.wasm: truncated"));
  CHECK(b.view()->manifest.spec.resources.cpu_millis == 500);
}

TEST_CASE("an apply that is being prepared at the end is answered, once") {
  PreparingBench b;
  b.ask("ledger", 700);
  b.ask("ledger", 500);
  b.engine->end_waits();
  CHECK(b.answers == std::vector<std::string>{"ledger 700 the supervisor is shut down",
                                              "ledger 500 the supervisor is shut down"});
  b.prepared(0);
  CHECK(b.answers.size() == 2);
}
