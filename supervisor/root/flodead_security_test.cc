// flodead as a whole: the root protocol, volumes, ends of every kind, and what is left after them.
#include <catch2/catch_test_macros.hpp>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "supervisor/root/testing/flodead_host.h"

using namespace flodea;
using namespace flodea::root;
using namespace flodea::root::testing;

namespace {

[[maybe_unused]] std::string slurp(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

void require_ok(const Answered& answered, const FlodeadHost& host) {
  INFO(answered.reply.step() << ": " << answered.reply.message() << "\n" << host.log());
  REQUIRE(answered.reply.code() == 0);
}

}  // namespace

TEST_CASE("an agent is started on its volume, found again by Adopt, ended, released and destroyed") {
  FlodeadHost host;
  AgentId agent = AgentId::random();
  auto created = host.create_volume(agent);
  require_ok(created, host);
  CHECK(created.reply.create_volume().created());
  CHECK_FALSE(host.create_volume(agent).reply.create_volume().created());
  auto started = host.start(agent, 1);
  require_ok(started, host);
  REQUIRE(started.fds.size() == 4);
  for (const auto& phase : started.reply.start().phases()) std::cout << phase.name() << " " << static_cast<double>(phase.nanos()) / 1e6 << " ms\n";
  CHECK(ask_probe(started.fds[0].get(), "agent write /data/kept hello") == "5 0");
  auto killed = host.kill_instance(agent, 1);
  require_ok(killed, host);
  auto event = host.wait_event([](const v1::Reply& e) { return e.has_instance_exited(); });
  CHECK(event.instance_exited().killed_by() == "operator");
  started.fds.clear();
  auto released = host.release(agent, 1);
  require_ok(released, host);
  CHECK(released.reply.release().leftovers().empty());
  auto again = host.start(agent, 2);
  require_ok(again, host);
  CHECK(ask_probe(again.fds[0].get(), "agent read /data/kept") == "hello");
  host.kill_instance(agent, 2);
  again.fds.clear();
  require_ok(host.release(agent, 2), host);
  auto destroyed = host.destroy(agent);
  require_ok(destroyed, host);
  CHECK(destroyed.reply.destroy_volume().existed());
  CHECK(host.stop() == 0);
}
