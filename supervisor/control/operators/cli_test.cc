// The real `flodea` against a real server over backends in memory: what it prints, where, and its
// exit status.
#include "supervisor/control/operators/testing/cli.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "base/event_kinds.h"
#include "base/quantity.h"

namespace flodea::control {
namespace {

namespace fs = std::filesystem;
using testing::Cli;
using testing::has;
using testing::Outcome;

TEST_CASE("apply says created, then unchanged, then changed") {
  Cli cli;
  cli.ledger();
  Outcome first = cli.run({"apply", "-f", cli.path("ledger.yaml")});
  INFO(first.err);
  CHECK(first.status == 0);
  CHECK(first.out == "ledger created\n");
  CHECK(first.err.empty());
  CHECK(cli.run({"apply", "-f", cli.path("ledger.yaml"), "--wait"}).out == "ledger unchanged\n");
  cli.ledger("  stop_timeout: 6s\n");
  CHECK(cli.run({"apply", "-f", cli.path("ledger.yaml")}).out == "ledger changed\n");
  Outcome ps = cli.run({"ps"});
  CHECK(ps.out.starts_with("NAME    STATE    RESTARTS  AGE"));
  CHECK(has(ps.out, "ledger  running"));
  CHECK(has(cli.run({"inspect", "ledger"}).out, "stop timeout:     6s"));
  CHECK(has(cli.run({"-o", "json", "inspect", "ledger"}).out, "\"stop_timeout\": \"6s\""));
  CHECK(has(cli.run({"inspect", "ledger", "-o", "yaml"}).out, "stop_timeout: 6s"));
}

TEST_CASE("ps shows all agents, also when their specs together are larger than a message") {
  Cli cli;
  AgentView view;
  for (int i = 0; i < 64; ++i) view.manifest.spec.runtime.args.emplace_back(4096, 'x');
  for (int i = 0; i < 150; ++i) {  // 38 MiB
    view.manifest.name = "agent-" + std::to_string(i);
    cli.server.lifecycle.put(view);
  }
  Outcome ps = cli.run({"ps"});
  INFO(ps.err);
  CHECK(ps.status == 0);
  CHECK(std::ranges::count(ps.out, '\n') == 151);
}

TEST_CASE("apply of a directory takes every *.yaml of it, and all are judged before one is sent") {
  Cli cli;
  cli.ledger();
  cli.file("other.yaml",
           "apiVersion: flodea/v1\nkind: Agent\nmetadata: {name: other}\nspec:\n  runtime: {type: "
           "python, entrypoint: main.py}\n  bundle: ledger\n");
  cli.file("notes.txt", "not a manifest");
  CHECK(cli.run({"apply", "-f", cli.path("")}).out == "ledger created\nother created\n");
  cli.file(
      "third.yaml",
      "apiVersion: flodea/v1\nkind: Agent\nmetadata: {name: ledger}\nspec: {bundle: ledger}\n");
  Outcome clash = cli.run({"apply", "-f", cli.path("")});
  CHECK(clash.status == 1);
  CHECK(has(clash.err, "third.yaml:3: agent \"ledger\" is in"));
}

TEST_CASE("what is refused is one line with file, line, field and remedy, and status 1") {
  Cli cli;
  cli.ledger("  resources: {memory: 23Mi}\n");
  auto refused = [&](std::string_view a, std::string_view b) {
    Outcome outcome = cli.run({"apply", "-f", cli.path("ledger.yaml")});
    INFO(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.out.empty());
    CHECK(std::ranges::count(outcome.err, '\n') == 1);
    CHECK(outcome.err.starts_with("flodea: "));
    CHECK(has(outcome.err, a));
    CHECK(has(outcome.err, b));
  };
  refused("ledger.yaml:7: ", "spec.resources.memory");
  cli.ledger("  resources: {memry: 23Mi}\n");
  refused("ledger.yaml:7: unknown field \"memry\"", "did you mean \"memory\"?");
  cli.ledger("  stop_timeout: 5s\n  stop_timeout: 6s\n");
  refused("ledger.yaml:8: ", "twice");
  cli.ledger();
  fs::rename(cli.path("ledger/main.py"), cli.path("ledger/mian.py"));
  refused("ledger.yaml:5: ", "did you mean \"mian.py\"");
  cli.ledger();
  fs::create_symlink("/etc/passwd", cli.path("ledger/secret"));
  refused("ledger.yaml:6: ", "secret");
  fs::remove(cli.path("ledger/secret"));
  cli.file("ledger/big", "");
  REQUIRE(::truncate(cli.path("ledger/big").c_str(), 10'000'000'000) == 0);
  refused("ledger.yaml:6: ", "big (9.3Gi)");
  fs::remove_all(cli.path("ledger"));
  refused("ledger.yaml:6: ", "No such file");
  CHECK(cli.server.stored() <= 2);
  CHECK(cli.run({"inspect", "nobody"}).status == 1);
  CHECK(cli.run({"apply", "-f", cli.path("nothing.yaml")}).status == 1);
}

TEST_CASE("run infers the agent from its directory, or takes its flodea.yaml") {
  Cli cli;
  cli.file("My Agent/main.py", "print(1)\n");
  CHECK(cli.run({"run", cli.path("My Agent")}).out == "my-agent created\n");
  CHECK(cli.run({"run", cli.path("My Agent/"), "--name", "x"}).out == "x created\n");
  CHECK(has(cli.run({"inspect", "x"}).out, "main.py"));
  cli.file("two/main.py", "");
  cli.file("two/main.js", "");
  Outcome both = cli.run({"run", cli.path("two")});
  CHECK(both.status == 1);
  CHECK(has(both.err, "has both main.py and main.js"));
  cli.file("none/readme", "");
  CHECK(has(cli.run({"run", cli.path("none")}).err, "neither flodea.yaml nor main.py"));
  cli.file("own/app.py", "");
  cli.file("own/flodea.yaml",
           "apiVersion: flodea/v1\nkind: Agent\nmetadata: {name: own}\nspec: {runtime: {type: "
           "python, entrypoint: app.py}}\n");
  CHECK(cli.run({"run", cli.path("own")}).out == "own created\n");
  for (const char* file : {"main.mjs", "main.cjs", "main.js"}) {
    CAPTURE(file);
    std::string name = std::string("of-") + (std::strrchr(file, '.') + 1);
    cli.file(name + "/" + file, "");
    CHECK(cli.run({"run", cli.path(name)}).out == name + " created\n");
    CHECK(has(cli.run({"inspect", name}).out, "node"));
  }
  cli.file("of-wasm/main.wasm", "");
  Outcome absent = cli.run({"run", cli.path("of-wasm")});
  CHECK(absent.status == 1);
  CHECK(has(absent.err, "no runtime \"wasm\" here"));
  CHECK(has(absent.err, "this supervisor has: javascript, python"));
  CHECK(std::ranges::count(absent.err, '\n') == 1);
}

TEST_CASE("an agent that fails is a failure of the call that waited for it") {
  Cli cli;
  cli.ledger();
  cli.server.lifecycle.applied_state = AgentState::kFailed;
  Outcome waited = cli.run({"run", cli.path("ledger"), "--name", "a"});
  CHECK(waited.status == 1);
  CHECK(has(waited.err, "a is in state failed: exit code 3; see: flodea logs a"));
  CHECK(cli.run({"apply", "-f", cli.path("ledger.yaml")}).status == 0);
}

TEST_CASE("start, stop, restart, rm, node and version do as they say") {
  Cli cli;
  cli.server.add_agent();
  CHECK(cli.run({"stop", "a"}).out == "a stopped\n");
  CHECK(cli.run({"start", "a"}).out == "a running\n");
  CHECK(cli.run({"restart", "a"}).out == "a running\n");
  CHECK(has(cli.run({"node"}).out, "volumes:        vault"));
  CHECK(has(cli.run({"version"}).out, std::string("supervisor: ") + FLODEA_VERSION));
  CHECK(cli.run({"rm", "a", "--keep-data"}).out == "a removed, its data kept\n");
  CHECK(cli.run({"rm", "a"}).status == 1);
}

TEST_CASE("logs prints lines as they were, from a tail, a duration or a time on") {
  Cli cli;
  AgentId id = cli.server.add_agent().id;
  REQUIRE(cli.server.logs.append(id, {1}, LogStream::kStdout, "one"));
  REQUIRE(cli.server.logs.append(id, {1}, LogStream::kStderr, "two \x1b[2J"));
  REQUIRE(cli.server.logs.append(id, {1}, LogStream::kSystem, "killed"));
  CHECK(cli.run({"logs", "a"}).out == "one\ntwo \x1b[2J\n[flodea] killed\n");
  CHECK(cli.run({"logs", "a", "--tail", "1"}).out == "[flodea] killed\n");
  CHECK(cli.run({"logs", "a", "--tail", "1", "-t"}).out ==
        "1970-01-01T00:00:00.000Z [flodea] killed\n");
  CHECK(cli.run({"logs", "a", "--since", "10m"}).out.empty());  // the fake's lines are of 1970
  CHECK(cli.run({"logs", "a", "--since", "1970-01-01T00:00:00Z"}).out.starts_with("one\n"));
  Outcome json = cli.run({"logs", "a", "-o", "json"});
  CHECK(std::ranges::count(json.out, '\n') == 3);
  CHECK(has(json.out, "\"stream\":\"stderr\""));
  REQUIRE(cli.server.events.record(
      {.kind = "agent.state", .agent = "a", .from = "starting", .to = "running"}));
  CHECK(has(cli.run({"events"}).out, "agent.state     a  starting → running"));
}

TEST_CASE("events are printed from a tail, a duration or a time on, of one agent or of all") {
  Cli cli;
  Nanos now = SystemClock().wall();
  auto record = [&](const char* agent, Nanos time, const char* message) {
    REQUIRE(cli.server.events.record(
        {.time = time, .kind = "agent.limit", .agent = agent, .message = message}));
  };
  record("a", now - std::chrono::hours(2), "of old");
  record("b", now - std::chrono::minutes(2), "of late");
  record("a", now, "of now");
  auto messages = [&](std::vector<std::string> more) {
    more.insert(more.begin(), "events");
    Outcome outcome = cli.run(more);
    CHECK(outcome.status == 0);
    return std::vector<bool>{has(outcome.out, "of old"), has(outcome.out, "of late"),
                             has(outcome.out, "of now")};
  };
  CHECK(messages({}) == std::vector{true, true, true});
  CHECK(messages({"--since", "1h"}) == std::vector{false, true, true});
  CHECK(messages({"--since", "1h", "a"}) == std::vector{false, false, true});
  CHECK(messages({"--since", "1h", "--tail", "1"}) == std::vector{false, false, true});
  std::string time = format_rfc3339(now - std::chrono::minutes(1));
  CHECK(messages({"--since", time}) == std::vector{false, false, true});
  CHECK(messages({"--since", "1970-01-01T00:00:00Z"}) == std::vector{true, true, true});
  CHECK(messages({"--since", "8760h"}) == std::vector{true, true, true});
  CHECK(messages({"--after", "1"}) == std::vector{false, true, true});
  CHECK(messages({"--after", "1", "--tail", "1"}) == std::vector{false, false, true});
  CHECK(messages({"--after", "3"}) == std::vector{false, false, false});
  CHECK(cli.run({"events", "--after", "-1"}).status == 2);
}

TEST_CASE("output that cannot be written is an error, whatever was to be written") {
  Cli cli;
  cli.server.add_agent();
  for (const char* verb :
       {"ps", "inspect a", "-o json inspect a", "version", "--help", "ps --help"}) {
    INFO(verb);
    std::string err = cli.path("err");
    std::string command = std::string(FLODEA_CLI) + " --socket " + cli.server.socket + " " + verb;
    CHECK(std::system((command + " >/dev/null 2>&1").c_str()) == 0);
    int status = std::system((command + " >/dev/full 2>" + err).c_str());
    CHECK(WEXITSTATUS(status) == 1);
    CHECK(testing::slurp(err) == "flodea: write the output: No space left on device\n");
  }
}

TEST_CASE("a kind of events that is not one is refused with the one that was meant") {
  Cli cli;
  Outcome near = cli.run({"events", "--kind", "agent.stat"});
  CHECK(near.status == 1);
  CHECK(near.err ==
        "flodea: there are no events of kind \"agent.stat\" (field kinds); did you mean "
        "\"agent.state\"?\n");
  Outcome far = cli.run({"events", "--kind", "bogus", "-f"});
  CHECK(far.status == 1);
  CHECK(has(far.err, "there are: agent.state, agent.pending, "));
  for (std::string_view kind : kEventKinds)
    CHECK(cli.run({"events", "--kind", std::string(kind)}).status == 0);
}

TEST_CASE("apply and diff take a manifest from stdin, its bundle beside the working directory") {
  Cli cli;
  cli.file("ledger/main.py", "print(1)\n");
  cli.ledger();
  auto piped = [&](const std::string& bundle) {
    cli.file("piped.yaml",
             "apiVersion: flodea/v1\nkind: Agent\nmetadata: {name: ledger}\nspec:\n  runtime: "
             "{type: python, entrypoint: main.py}\n  bundle: " +
                 bundle + "\n");
    cli.input = cli.path("piped.yaml");
  };
  piped(cli.path("ledger"));
  CHECK(cli.run({"diff", "-f", "-"}).status == 1);
  CHECK(cli.run({"apply", "-f", "-"}).out == "ledger created\n");
  CHECK(cli.run({"apply", "-f", cli.path("ledger.yaml")}).out == "ledger unchanged\n");
  piped("no-such-directory");
  Outcome none = cli.run({"apply", "-f", "-"});
  CHECK(none.status == 1);
  CHECK(has(none.err, "flodea: stdin:6: "));
  CHECK(has(none.err, "./no-such-directory"));
  cli.input = "/dev/null";
  CHECK(has(cli.run({"apply", "-f", "-"}).err, "stdin:1: the manifest is empty"));
}

TEST_CASE("agents are selected by label, each once, each outcome told") {
  Cli cli;
  AgentView view;
  for (const char* name : {"a", "b", "c"}) {
    view.manifest.name = name;
    view.manifest.labels = {{"team", *name == 'c' ? "risk" : "treasury"}};
    cli.server.lifecycle.put(view);
  }
  Outcome stopped = cli.run({"stop", "-l", "team=treasury"});
  CHECK(stopped.status == 0);
  CHECK((has(stopped.out, "a stopped\n") && has(stopped.out, "b stopped\n")));
  CHECK_FALSE(has(stopped.out, "c"));
  CHECK(cli.run({"start", "a", "a"}).out == "a running\n");
  Outcome some = cli.run({"restart", "a", "nobody"});
  CHECK(some.status == 1);
  CHECK(some.out == "a running\n");
  CHECK(has(some.err, "no agent \"nobody\""));
  CHECK(has(some.err, "flodea: 1 of 2 agents failed\n"));
  CHECK(has(cli.run({"ps", "-l", "team in (risk)"}).out, "c  "));
  CHECK_FALSE(has(cli.run({"ps", "-l", "team in (risk)"}).out, "a  "));
  CHECK(has(cli.run({"inspect", "-l", "team=treasury"}).out, "name:           b"));
  Outcome none = cli.run({"stop", "-l", "team=nobody"});
  CHECK(none.status == 0);
  CHECK(has(none.err, "no agent is selected"));
  for (std::vector<std::string> verb :
       std::vector<std::vector<std::string>>{{"ps"},
                                             {"top", "--once", "-d", "100ms"},
                                             {"logs"},
                                             {"inspect"},
                                             {"rollout", "status"}}) {
    CAPTURE(verb.front());
    verb.insert(verb.end(), {"-l", "team=nobody"});
    Outcome nothing = cli.run(verb);
    CHECK(nothing.status == 0);
    CHECK(nothing.err == "flodea: no agent is selected\n");
  }
  for (const char* verb : {"stop", "rm", "restart"}) {
    CAPTURE(verb);
    CHECK(cli.run({verb, "-l", ""}).status == 2);
    CHECK(cli.run({verb}).status == 2);
    CHECK(cli.run({verb, "a", "-l", "team"}).status == 2);
    CHECK(cli.run({verb, "a", "--all"}).status == 2);
    Outcome malformed = cli.run({verb, "-l", "team=(a"});
    CHECK(malformed.status == 2);
    CHECK(has(malformed.err, "at character 6"));
  }
  Outcome asked = cli.run({"rm", "-l", "team=treasury"});
  CHECK(asked.status == 1);
  CHECK(has(asked.err, "(a, b)"));
  CHECK(has(asked.err, "--yes"));
  CHECK(cli.run({"rm", "-l", "team=treasury", "--yes"}).status == 0);
  CHECK(cli.run({"rm", "--all", "--yes"}).out.starts_with("c removed"));
  CHECK(has(cli.run({"rm", "--all", "--yes"}).err, "no agent is selected"));
}

TEST_CASE("plan, diff and prune say what would change, and prune keeps something") {
  Cli cli;
  cli.ledger();
  CHECK(cli.run({"apply", "-f", cli.path("ledger.yaml"), "--plan"}).out == "ledger create\n");
  Outcome fresh = cli.run({"diff", "-f", cli.path("ledger.yaml")});
  CHECK(fresh.status == 1);
  CHECK(fresh.out.starts_with("--- ledger (none)\n+++ ledger ("));
  CHECK(cli.run({"ps", "-o", "json"}).out.find("ledger") == std::string::npos);
  CHECK(cli.run({"apply", "-f", cli.path("ledger.yaml")}).status == 0);
  CHECK(cli.run({"apply", "-f", cli.path("ledger.yaml"), "--plan"}).out == "ledger unchanged\n");
  Outcome same = cli.run({"diff", "-f", cli.path("ledger.yaml")});
  CHECK((same.status == 0 && same.out.empty()));
  cli.ledger("  stop_timeout: 6s\n");
  CHECK(cli.run({"apply", "-f", cli.path("ledger.yaml"), "--plan"}).out ==
        "ledger change\n  spec.stop_timeout: 5s → 6s\n");
  Outcome json = cli.run({"apply", "-f", cli.path("ledger.yaml"), "--plan", "-o", "json"});
  CHECK(has(json.out, R"({"field":"spec.stop_timeout","before":"5s","after":"6s"})"));
  Outcome diff = cli.run({"diff", "-f", cli.path("ledger.yaml")});
  CHECK(diff.status == 1);
  CHECK(has(diff.out, "-spec.stop_timeout: 5s\n+spec.stop_timeout: 6s\n"));
  CHECK(cli.run({"diff", "-f", cli.path("nothing.yaml")}).status == 2);
  Outcome objects = cli.run({"diff", "-f", cli.path("ledger.yaml"), "-o", "json"});
  CHECK(objects.status == 1);
  CHECK(objects.out == json.out);

  cli.server.add_agent("other");
  Outcome plan = cli.run({"apply", "-f", cli.path(""), "--prune", "--plan"});
  CHECK(has(plan.out, "other remove\n"));
  CHECK(cli.run({"apply", "-f", cli.path(""), "--prune", "-l", "team=x"}).out ==
        "ledger changed\n");
  CHECK(cli.run({"apply", "-f", cli.path(""), "--prune"}).out ==
        "ledger unchanged\nother removed, its data kept\n");
  cli.file("elsewhere/new/main.py", "");
  cli.file("elsewhere/new.yaml",
           "apiVersion: flodea/v1\nkind: Agent\nmetadata: {name: new}\nspec:\n  runtime: {type: "
           "python, entrypoint: main.py}\n  bundle: new\n");
  Outcome wrong = cli.run({"apply", "-f", cli.path("elsewhere"), "--prune"});
  CHECK(wrong.status == 1);
  CHECK(has(wrong.err, "every agent there is (ledger)"));
  CHECK_FALSE(has(cli.run({"ps"}).out, "new"));
  fs::create_directories(cli.path("empty"));
  CHECK(has(cli.run({"apply", "-f", cli.path("empty"), "--prune"}).err, "has no *.yaml"));
  CHECK(cli.run({"apply", "-f", cli.path("elsewhere"), "--prune-data"}).status == 2);
}

TEST_CASE("one bad manifest of a directory, and nothing is changed; -R goes into those below") {
  Cli cli;
  cli.ledger();
  cli.file("below/other/main.py", "");
  auto other = [&](const std::string& memory) {
    cli.file(
        "below/other.yaml",
        "apiVersion: flodea/v1\nkind: Agent\nmetadata: {name: other}\nspec:\n  runtime: {type: "
        "python, entrypoint: main.py}\n  bundle: other\n  resources: {memory: " +
            memory + "}\n");
  };
  other("1Mi");
  Outcome bad = cli.run({"apply", "-f", cli.path(""), "-R"});
  CHECK(bad.status == 1);
  CHECK(has(bad.err, "other.yaml:7: "));
  CHECK(bad.out.empty());
  CHECK_FALSE(has(cli.run({"ps"}).out, "ledger"));
  other("64Mi");
  CHECK(cli.run({"apply", "-f", cli.path(""), "-R", "--wait"}).out ==
        "other created\nledger created\nother running\nledger running\n");
}

TEST_CASE("revisions are listed, shown and gone back to") {
  Cli cli;
  cli.ledger();
  REQUIRE(cli.run({"apply", "-f", cli.path("ledger.yaml")}).status == 0);
  cli.ledger("  stop_timeout: 6s\n");
  REQUIRE(cli.run({"apply", "-f", cli.path("ledger.yaml")}).status == 0);
  Outcome list = cli.run({"revisions", "ledger"});
  CHECK(list.out.starts_with("REVISION  AGE  BY"));
  CHECK(has(list.out, "current"));
  Outcome first = cli.run({"revisions", "ledger", "--revision", "1"});
  CHECK(has(first.out, "stop_timeout: 5s"));
  CHECK(first.out.starts_with("apiVersion: flodea/v1\nkind: Agent\n"));
  CHECK(cli.run({"rollback", "ledger", "--to", "1", "--wait"}).out ==
        "ledger rolled back, as revision 3\n");
  CHECK(has(cli.run({"inspect", "ledger"}).out, "stop timeout:     5s"));
  cli.file("first.yaml", first.out);
  Outcome again = cli.run({"apply", "-f", cli.path("first.yaml")});
  CHECK(again.err.empty());
  CHECK(again.out == "ledger unchanged\n");
  CHECK(cli.run({"rollback", "ledger", "--to", "9"}).status == 1);
  CHECK(cli.run({"rollback", "ledger", "--to", "0"}).status == 2);
  CHECK(cli.run({"rollout", "status", "ledger"}).out == "ledger running (revision 3)\n");
  Outcome none = cli.run({"rollout", "status", "nobody"});
  CHECK(none.status == 1);
  CHECK(none.err == "flodea: there is no agent \"nobody\"; see: flodea events, flodea logs\n");
}

TEST_CASE("logs of several agents have their names in front; top samples twice") {
  Cli cli;
  AgentId id = cli.server.add_agent().id;
  cli.server.add_agent("b");
  REQUIRE(cli.server.logs.append(id, {1}, LogStream::kStdout, "one"));
  CHECK(cli.run({"logs", "a", "b"}).out == "a | one\nb | one\n");  // the fake has one log
  CHECK(cli.run({"logs", "a", "b", "--timestamps"}).out ==
        "a | 1970-01-01T00:00:00.000Z one\nb | 1970-01-01T00:00:00.000Z one\n");
  CHECK(cli.run({"logs"}).status == 2);
  Outcome top = cli.run({"top", "--once", "-d", "100ms"});
  CHECK(top.out.starts_with("NAME  STATE    CPU%"));
  CHECK(has(top.out, "\na     running  -"));
  CHECK(has(cli.run({"top", "--once", "-d", "100ms", "-o", "json", "a"}).out,
            R"({"agents":[{"name":"a","state":"running")"));
  CHECK(cli.run({"top", "-d", "1ms"}).status == 2);
  Outcome nobody = cli.run({"top", "--once", "-d", "100ms", "a", "nobody"});
  CHECK(nobody.status == 1);
  CHECK(nobody.out.empty());
  CHECK(has(nobody.err, "there is no agent \"nobody\""));
}

TEST_CASE("a usage error is one line that says what is meant, or where to look") {
  Cli cli;
  struct Wrong {
    std::vector<std::string> args;
    std::string line;
  };
  const std::vector<Wrong> rows{
      {{}, "a verb is needed; see: flodea --help"},
      {{"frobnicate"}, "unknown verb \"frobnicate\"; see: flodea --help"},
      {{"evnets", "-f"}, "unknown verb \"evnets\"; did you mean \"events\"? see: flodea --help"},
      {{"rollout"}, "a verb is needed; see: flodea rollout --help"},
      {{"rollout", "stats", "a"},
       "unknown verb \"stats\"; did you mean \"status\"? see: flodea rollout --help"},
      {{"inspect"}, "NAME or -l is required; see: flodea inspect --help"},
      {{"stop"}, "one of NAME, -l and --all is required; see: flodea stop --help"},
      {{"ps", "more"}, "The following argument was not expected: more; see: flodea ps --help"},
      {{"ps", "-o", "xml"},
       "--output: \"xml\" is none of table, json, yaml; see: flodea ps --help"},
      {{"ps", "-o", "2"}, "--output: \"2\" is none of table, json, yaml; see: flodea ps --help"},
      {{"top", "--sort", "mem"},
       "--sort: \"mem\" is none of cpu, memory, calls, name; see: flodea top --help"},
      {{"top", "--sort", "1"},
       "--sort: \"1\" is none of cpu, memory, calls, name; see: flodea top --help"},
      {{"rollback", "a", "--to", "0"},
       "--to: \"0\" is no revision: they are whole numbers from 1; see: flodea rollback --help"},
      {{"logs", "a", "--tail", "-1"},
       "--tail: \"-1\" is no whole number, or out of range; see: flodea logs --help"},
      {{"logs", "a", "--tail", "x"},
       "--tail: \"x\" is no whole number, or out of range; see: flodea logs --help"},
      {{"top", "-d", "9999h"},
       "--delay: 9999h is not between 100ms and 1h; see: flodea top --help"},
      {{"rollout", "status", "a", "--timeout", "9999h"},
       "--timeout: \"9999h\" is out of range, 0 to 8784h; see: flodea rollout status --help"},
      {{"events", "--since", "9999h"},
       "--since: \"9999h\" is out of range, 0 to 8784h; see: flodea events --help"},
      {{"events", "--tail", "4294967296"},
       "--tail: \"4294967296\" is no whole number, or out of range; see: flodea events --help"},
  };
  for (const Wrong& row : rows) {
    Outcome outcome = cli.run(row.args);
    CHECK(outcome.status == 2);
    CHECK(outcome.out.empty());
    CHECK(outcome.err == "flodea: " + row.line + "\n");
  }
  CHECK(cli.run({"ps", "-o", "\x1b[2J"}).err.find('\x1b') == std::string::npos);
}

TEST_CASE("usage errors are status 2, help is 0") {
  Cli cli;
  CHECK(cli.run({}).status == 2);
  CHECK(cli.run({"frobnicate"}).status == 2);
  CHECK(cli.run({"inspect"}).status == 2);
  CHECK(cli.run({"ps", "-o", "xml"}).status == 2);
  CHECK(cli.run({"apply"}).status == 2);
  CHECK(cli.run({"logs", "a", "--since", "yesterday"}).status == 2);
  CHECK(cli.run({"events", "--since", "yesterday"}).status == 2);
  CHECK(cli.run({"logs", "a", "--tail", "x"}).status == 2);
  CHECK(cli.run({"run", "/nonexistent"}).status == 2);
  Outcome help = cli.run({"--help"});
  CHECK(help.status == 0);
  CHECK(has(help.out, "Exit status:"));
  CHECK(has(cli.run({"logs", "--help"}).out, "--since"));
  CHECK(has(cli.run({"events", "--help"}).out, "--since"));
}

TEST_CASE("a supervisor that is not there, or not for us, is status 3 and says what to do") {
  Cli cli;
  Outcome absent = cli.run({"--socket", "/tmp/flodea-none/control.sock", "ps"}, false);
  CHECK(absent.status == 3);
  CHECK(has(absent.err, "/tmp/flodea-none/control.sock: No such file"));
  CHECK(has(absent.err, "start it"));
  ::setenv("FLODEA_SOCKET", "/tmp/flodea-env/control.sock", 1);
  CHECK(has(cli.run({"ps"}, false).err, "/tmp/flodea-env/control.sock"));
  ::unsetenv("FLODEA_SOCKET");
  CHECK(cli.run({"--socket", "/tmp/" + std::string(300, 'x'), "ps"}, false).status == 3);
  Outcome version = cli.run({"--socket", "/tmp/flodea-none/control.sock", "version"}, false);
  CHECK(version.status == 0);
  CHECK(has(version.out, "not reachable"));
  Outcome own = cli.run({"--socket", "/tmp/flodea-none/control.sock", "--version"}, false);
  CHECK(own.status == 0);
  CHECK(own.out == std::string("flodea ") + FLODEA_VERSION + "\n");
  if (::geteuid() != 0) SKIP("the rest needs root, to become somebody else");
  cli.uid = 12345;
  Outcome refused = cli.run({"ps"});  // let through by the mode, closed by the server
  CHECK(refused.status == 3);
  CHECK(has(refused.err, "group flodea"));
  ::chmod(cli.server.socket.c_str(), 0600);
  Outcome denied = cli.run({"ps"});
  CHECK(denied.status == 3);
  CHECK(has(denied.err, "Permission denied"));
  CHECK(has(denied.err, "group flodea"));
}

TEST_CASE("a long socket path is reached all the same") {
  Cli cli;
  fs::path deep = cli.work;
  while (deep.string().size() < 200) deep /= "a-rather-long-directory-name";
  fs::create_directories(deep);
  fs::rename(cli.server.socket, deep / "control.sock");
  CHECK(cli.run({"--socket", (deep / "control.sock").string(), "ps"}, false).status == 0);
}

}  // namespace
}  // namespace flodea::control
