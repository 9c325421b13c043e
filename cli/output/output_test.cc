#include "cli/output/output.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "base/event_kinds.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

pb::Agent running() {
  pb::Agent agent;
  agent.set_name("ledger");
  agent.set_state(pb::STATE_RUNNING);
  agent.set_restarts(2);
  agent.mutable_created()->set_seconds(1000);
  agent.mutable_usage()->set_cpu_nanos(1'230'000'000);
  agent.mutable_usage()->set_memory_bytes(34 << 20);
  agent.mutable_spec()->mutable_resources()->set_memory("64Mi");
  return agent;
}

TEST_CASE("ps is a table with what matters") {
  pb::ListResponse list;
  *list.add_agents() = running();
  pb::Agent& failed = *list.add_agents();
  failed.set_name("x");
  failed.set_state(pb::STATE_FAILED);
  failed.set_reason("exit code");
  failed.set_message("exit code 3");
  failed.mutable_created()->set_seconds(1000);
  CHECK(agents_table(list, std::chrono::seconds(1300)) ==
        "NAME    STATE    RESTARTS  AGE  CPU    MEMORY     REASON\n"
        "ledger  running  2         5m   1.23s  34Mi/64Mi  -\n"
        "x       failed   0         5m   -      -          exit code 3\n");
}

TEST_CASE("text of agents cannot drive the terminal") {
  CHECK(printable("a\x1b[2Jb\tc\r\n\x7f ü \xc2\x9b") == "a\\x1b[2Jb\tc\\x0d\\x0a\\x7f ü \\x9b");
  pb::ListResponse list;
  *list.add_agents() = running();
  list.mutable_agents(0)->set_message("\x1b]0;owned\x07");
  CHECK(agents_table(list, Nanos(0)).find('\x1b') == std::string::npos);
}

TEST_CASE("JSON and YAML carry the proto's names, and text stays text") {
  pb::Agent agent = running();
  (*agent.mutable_labels())["v"] = "1.0";
  (*agent.mutable_labels())["t"] = "true";
  std::string json = to_json(agent, true);
  CHECK(json.find("\"restarts\":2") != std::string::npos);
  CHECK(json.find("\"desired_running\":false") != std::string::npos);
  CHECK(json.find('\n') == std::string::npos);
  std::string yaml = to_yaml(agent);
  CHECK(yaml.find("v: \"1.0\"") != std::string::npos);
  CHECK(yaml.find("t: \"true\"") != std::string::npos);
  CHECK(yaml.find("restarts: 2") != std::string::npos);
  CHECK(render_item(agent, Format::kYaml).starts_with("---\n"));
}

TEST_CASE("ages and times are short") {
  google::protobuf::Timestamp t;
  t.set_seconds(1000);
  CHECK(age(t, std::chrono::seconds(1000)) == "0s");
  CHECK(age(t, std::chrono::seconds(900)) == "0s");
  CHECK(age(t, std::chrono::seconds(1000 + 7200)) == "2h");
  CHECK(age(t, std::chrono::seconds(1000 + 86400 * 3)) == "3d");
  t.set_nanos(123'456'789);
  CHECK(time_text(t) == "1970-01-01T00:16:40.123Z");
}

TEST_CASE("an agent and an event read as sentences") {
  pb::Agent agent = running();
  agent.mutable_sandbox()->add_missing("io bandwidth of buffered writes");
  std::string text = agent_text(agent, std::chrono::seconds(1000));
  CHECK(text.find("missing:          io bandwidth of buffered writes") != std::string::npos);
  CHECK(text.find("state:          running for") != std::string::npos);
  CHECK(text.find("memory:           34Mi") != std::string::npos);
  pb::Event event;
  event.set_kind("agent.state");
  event.set_agent("a");
  event.set_from("running");
  event.set_to("backoff");
  event.set_reason("oom");
  CHECK(event_text(event).find("a  running → backoff  oom") != std::string::npos);
}

TEST_CASE("a reason is left out where the message begins with it") {
  CHECK(why_text("exit code", "exit code 1; restart 1 of 5") == "exit code 1; restart 1 of 5");
  CHECK(why_text("oom", "out of memory: 3 processes") == "out of memory: 3 processes");
  CHECK(why_text("signal", "SIGSEGV") == "signal: SIGSEGV");
  CHECK(why_text("host", "hostile lines") == "host: hostile lines");
  CHECK(why_text("host", "host") == "host");
  CHECK(why_text("operator", "") == "operator");
  CHECK(why_text("", "it waits") == "it waits");
  CHECK(why_text("", "").empty());
}

TEST_CASE("inspect says what holds, and no value runs into its name") {
  pb::Agent agent = running();
  pb::Restart& restart = *agent.mutable_spec()->mutable_restart();
  restart.set_policy("never");
  restart.set_max_retries(5);
  agent.mutable_sandbox()->set_seccomp_profile("python");
  for (const char* name : {"network", "flodead volume and netns"}) {
    pb::Phase& phase = *agent.add_start_phases();
    phase.set_name(name);
    phase.set_nanos(6'542'000);
  }
  pb::Event& event = *agent.add_transitions();
  event.set_to("pending");
  event.set_message("it waits");
  std::string text = agent_text(agent, std::chrono::seconds(1000));
  INFO(text);
  CHECK(text.find("  restart:          never\n") != std::string::npos);
  CHECK(text.find("uids") == std::string::npos);
  CHECK(text.find("  network:                  6.542ms\n"
                  "  flodead volume and netns: 6.542ms\n") != std::string::npos);
  CHECK(text.find("  1970-01-01T00:00:00.000Z: new → pending  it waits\n") != std::string::npos);
  agent.mutable_sandbox()->set_uid_base(65'536);
  CHECK(agent_text(agent, Nanos(0)).find("uids:             65536 to 131071") != std::string::npos);
}

TEST_CASE("events of the longest kind stand under the others; a node's lists have one order") {
  pb::Event event;
  std::size_t column = 0;
  for (std::string_view kind : kEventKinds) {
    CAPTURE(kind);
    event.set_kind(std::string(kind));
    std::size_t agent = event_text(event).find("  -\n");
    CHECK(agent != std::string::npos);
    CHECK((column == 0 || agent == column));
    column = agent;
  }
  pb::Node node;
  for (const char* name : {"wasm", "python", "javascript"}) (*node.mutable_runtimes())[name] = "1";
  CHECK(node_text(node, Nanos(0))
            .find("runtime:        javascript 1\nruntime:        python 1\n"
                  "runtime:        wasm 1\n") != std::string::npos);
}

TEST_CASE("what is no message is shown as the format says") {
  nlohmann::ordered_json value{{"version", "0.1.0"}, {"epoch", 3}};
  REQUIRE(render(value, Format::kJson) == "{\n \"version\": \"0.1.0\",\n \"epoch\": 3\n}\n");
  REQUIRE(render(value, Format::kYaml) == "version: \"0.1.0\"\nepoch: 3\n");
  REQUIRE(render_item(value, Format::kYaml) == "---\nversion: \"0.1.0\"\nepoch: 3\n");
}

}  // namespace
}  // namespace flodea::cli
