// The real `flodea`, following, while the server goes away and comes again.
#include <poll.h>
#include <signal.h>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/operators/testing/cli.h"

namespace flodea::control {
namespace {

using testing::Cli;
using testing::has;
using testing::Outcome;

// What the agent said before, while nobody served, and after; it is removed at the end.
Outcome follow(Cli& cli, std::vector<std::string> before, std::vector<std::string> args) {
  AgentId id = cli.server.add_agent().id;
  auto says = [&](const std::string& line) {
    REQUIRE(cli.server.logs.append(id, {1}, LogStream::kStdout, line));
  };
  for (const std::string& line : before) says(line);
  pid_t command = cli.begin(std::move(args));
  REQUIRE(cli.server.logs.wait_for_subscriber());
  cli.server.stop();
  says("away");
  says("still away");
  cli.server.start();
  REQUIRE(cli.server.logs.wait_for_subscriber());
  says("back");
  REQUIRE(cli.server.events.record({.kind = "agent.removed", .agent = "a"}));
  return cli.end(command);
}

TEST_CASE("a followed log has no gap, although nothing had come before the server went away") {
  Cli cli;
  const std::string rest = "away\nstill away\nback\n";
  SECTION("from now on") {
    Outcome all = follow(cli, {"one", "two"}, {"logs", "a", "-f", "--tail", "0"});
    CHECK(all.out == rest);
    CHECK(all.status == 0);
    CHECK(has(all.err, "the supervisor is away"));
  }
  SECTION("from the last line on") {
    CHECK(follow(cli, {"one", "two"}, {"logs", "a", "-f", "--tail", "1"}).out == "two\n" + rest);
  }
  SECTION("of an empty log") {
    CHECK(follow(cli, {}, {"logs", "a", "-f", "--tail", "1"}).out == rest);
  }
  SECTION("of all") { CHECK(follow(cli, {"one"}, {"logs", "a", "-f"}).out == "one\n" + rest); }
}

// As a supervisor that ends while the command is on its way to it.
void take_and_drop_one(UniqueFd listening) {
  pollfd ready{.fd = listening.get(), .events = POLLIN};
  REQUIRE(::poll(&ready, 1, 20'000) == 1);
  UniqueFd connection(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(connection.get() >= 0);
}

void eventually(const std::function<bool()>& so) {
  for (int i = 0; i < 2000 && !so(); ++i) ::poll(nullptr, 0, 10);
  REQUIRE(so());
}

// What follows the events, as asked for with `args`, prints: one was there before, one comes later.
std::string events_followed(Cli& cli, std::vector<std::string> args) {
  REQUIRE(cli.server.events.record({.kind = "agent.removed", .agent = "before"}));
  cli.server.stop();
  UniqueFd listening = testing::TestServer::listen_on(cli.server.socket);
  args.insert(args.begin(), {"events", "-f"});
  pid_t command = cli.begin(std::move(args));
  take_and_drop_one(std::move(listening));
  std::filesystem::remove(cli.server.socket);
  cli.server.start();
  eventually([&] { return cli.server.events.subscribers() == 1; });
  REQUIRE(cli.server.events.record({.kind = "agent.removed", .agent = "later"}));
  auto out = cli.work.parent_path() / "out";
  eventually([&] { return has(testing::slurp(out), "later"); });
  REQUIRE(::kill(command, SIGTERM) == 0);
  Outcome all = cli.end(command);
  CHECK(has(all.err, "the supervisor is away"));
  CHECK_FALSE(has(all.err, "cannot reach"));
  return all.out;
}

TEST_CASE("events are followed although the supervisor went away before it had said a word") {
  Cli cli;
  SECTION("from now on") { CHECK_FALSE(has(events_followed(cli, {"--tail", "0"}), "before")); }
  SECTION("from the last on") { CHECK(has(events_followed(cli, {"--tail", "1"}), "before")); }
  SECTION("from one on") { CHECK_FALSE(has(events_followed(cli, {"--after", "1"}), "before")); }
  SECTION("all") { CHECK(has(events_followed(cli, {}), "before")); }
}

TEST_CASE("who watches agents that a selector selects none of is told so, once") {
  Cli cli;
  cli.server.add_agent();
  auto watched = [&](std::vector<std::string> selector) {
    selector.insert(selector.begin(), {"ps", "-w"});
    pid_t command = cli.begin(std::move(selector));
    eventually([&] { return has(testing::slurp(cli.work.parent_path() / "out"), "NAME"); });
    REQUIRE(::kill(command, SIGTERM) == 0);
    return cli.end(command).err;
  };
  CHECK(watched({"-l", "team=nobody"}) == "flodea: no agent is selected\n");
  CHECK(watched({"-l", "!team"}).empty());
  CHECK(watched({}).empty());
}

}  // namespace
}  // namespace flodea::control
