// flodead as a whole: the root protocol, volumes, ends of every kind, and what is left after them.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/root/testing/flodead_host.h"
#include "supervisor/root/testing/inventory.h"
#include "supervisor/root/testing/slurp.h"

using namespace flodea;
using namespace flodea::root;
using namespace flodea::root::testing;

namespace {

void require_ok(const Answered& answered, const FlodeadHost& host) {
  INFO(answered.reply.step() << ": " << answered.reply.message() << "\n" << host.log());
  REQUIRE(answered.reply.code() == 0);
}

PidFd worker_of(const Answered& started) {
  auto worker = PidFd::open(started.reply.start().worker_pid());
  REQUIRE(worker);
  return std::move(*worker);
}

void end_and_release(FlodeadHost& host, const AgentId& agent, std::uint64_t generation,
                     Answered& started) {
  require_ok(host.kill_instance(agent, generation), host);
  started.fds.clear();
  auto released = host.release(agent, generation);
  require_ok(released, host);
  for (const std::string& left : released.reply.release().leftovers()) FAIL(left);
}

}  // namespace

TEST_CASE(
    "an agent is started on its volume, found again by Adopt, ended, released and destroyed") {
  FlodeadHost host;
  AgentId agent = AgentId::random();
  auto created = host.create_volume(agent);
  require_ok(created, host);
  CHECK(created.reply.create_volume().created());
  CHECK_FALSE(host.create_volume(agent).reply.create_volume().created());
  auto started = host.start(agent, 1);
  require_ok(started, host);
  REQUIRE(started.fds.size() == 4);
  for (const auto& phase : started.reply.start().phases())
    std::cout << phase.name() << " " << static_cast<double>(phase.nanos()) / 1e6 << " ms\n";
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

TEST_CASE("fifty starts leave nothing, some of them killed in the middle") {
  FlodeadHost host;
  AgentId agent = AgentId::random();
  require_ok(host.create_volume(agent), host);
  Inventory before = take_inventory(host);
  std::map<std::string, std::vector<double>> phases;
  std::vector<std::string> order;
  for (std::uint64_t generation = 1; generation <= 50; ++generation) {
    if (generation % 5 == 0) {  // a Kill sent behind the Start, without waiting: it comes while the
                                // volume is being opened
      v1::Request start;
      *start.mutable_start() = host.start_request(agent, generation);
      auto start_id = host.send(start);
      v1::Request kill;
      kill.mutable_kill()->set_agent_id(agent.text());
      kill.mutable_kill()->set_generation(generation);
      kill.mutable_kill()->set_reason("in the middle");
      auto kill_id = host.send(kill);
      auto started = host.wait_reply(start_id);
      require_ok(host.wait_reply(kill_id), host);
      started.fds.clear();
      require_ok(host.release(agent, generation), host);
      continue;
    }
    auto started = host.start(agent, generation);
    require_ok(started, host);
    if (generation % 7 == 0) REQUIRE(worker_of(started).send_signal(SIGKILL));
    for (const auto& phase : started.reply.start().phases()) {
      if (!phases.contains(phase.name())) order.push_back(phase.name());
      phases[phase.name()].push_back(static_cast<double>(phase.nanos()) / 1e6);
    }
    end_and_release(host, agent, generation, started);
  }
  CHECK(difference(before, take_inventory(host)) == "");
  for (const std::string& name : order) {
    std::ranges::sort(phases[name]);
    std::cout << name << " median " << phases[name][phases[name].size() / 2] << " ms\n";
  }
  CHECK(host.stop() == 0);
}

TEST_CASE("a killed control is followed by another that finds the agents with List and Adopt") {
  FlodeadHost host;
  AgentId agent = AgentId::random();
  require_ok(host.create_volume(agent), host);
  auto started = host.start(agent, 1);
  require_ok(started, host);
  REQUIRE(host.child_named("flodea-control").send_signal(SIGKILL));
  host.accept_control();
  CHECK(host.control_arguments().starts_with("--epoch 2 "));
  v1::Request list;
  list.mutable_list();
  auto listed = host.ask(list);
  REQUIRE(listed.reply.list().instances_size() == 1);
  CHECK(listed.reply.list().instances(0).state() == v1::INSTANCE_STATE_RUNNING);
  v1::Request adopt;
  adopt.mutable_adopt()->set_agent_id(agent.text());
  adopt.mutable_adopt()->set_generation(1);
  auto adopted = host.ask(adopt);
  require_ok(adopted, host);
  REQUIRE(adopted.fds.size() == 4);
  CHECK(ask_probe(adopted.fds[0].get(), "uid") == "0 0");
  started.fds.clear();
  end_and_release(host, agent, 1, adopted);
  CHECK(host.stop() == 0);
}

TEST_CASE("a killed vault is continued, and its agents notice nothing") {
  FlodeadHost host;
  AgentId agent = AgentId::random();
  require_ok(host.create_volume(agent), host);
  auto started = host.start(agent, 1);
  require_ok(started, host);
  for (int i = 0; i < 5; ++i) {
    host.kill_service("flodea-vault");
    CHECK(ask_probe(started.fds[0].get(),
                    "agent write /data/file" + std::to_string(i) + " hello") == "5 0");
  }
  end_and_release(host, agent, 1, started);
  auto again = host.start(agent, 2);
  require_ok(again, host);
  CHECK(ask_probe(again.fds[0].get(), "agent read /data/file4") == "hello");
  end_and_release(host, agent, 2, again);
  CHECK(host.stop() == 0);
}

TEST_CASE("a second flodead on the same run directory is told who holds it") {
  FlodeadHost host;
  std::string command = host.dir() + "/bin/flodead --state-dir " + host.dir() +
                        "/state --run-dir " + host.dir() + "/run 2>" + host.dir() + "/second";
  CHECK(WEXITSTATUS(std::system(command.c_str())) == 78);
  CHECK(slurp(host.dir() + "/second").find("(pid " + std::to_string(host.pid()) + ")") !=
        std::string::npos);
  CHECK(host.stop() == 0);
}

TEST_CASE(
    "totals, unknown runtimes and missing bundles are refused, and nothing half made is left") {
  FlodeadHost host({"--max-memory", "100Mi"});
  AgentId first = AgentId::random();
  AgentId second = AgentId::random();
  require_ok(host.create_volume(first), host);
  require_ok(host.create_volume(second), host);
  Inventory before = take_inventory(host);
  auto no_runtime =
      host.start(first, 1, [](v1::StartRequest& start) { start.set_runtime("cobol"); });
  CHECK(no_runtime.reply.code() == static_cast<std::uint32_t>(Code::kNotFound));
  auto no_bundle =
      host.start(first, 1, [](v1::StartRequest& start) { start.set_bundle(std::string(64, 'c')); });
  CHECK(no_bundle.reply.code() == static_cast<std::uint32_t>(Code::kNotFound));
  auto no_volume = host.start(AgentId::random(), 1);
  CHECK(no_volume.reply.code() == static_cast<std::uint32_t>(Code::kNotFound));
  CHECK(difference(before, take_inventory(host)) == "");
  auto started = host.start(first, 1);
  require_ok(started, host);
  auto too_much = host.start(second, 1);
  CHECK(too_much.reply.code() == static_cast<std::uint32_t>(Code::kResourceExhausted));
  CHECK(too_much.reply.remedy().find("max-memory") != std::string::npos);
  CHECK(host.start(first, 2).reply.code() == static_cast<std::uint32_t>(Code::kFailedPrecondition));
  CHECK(host.destroy(first).reply.code() == static_cast<std::uint32_t>(Code::kFailedPrecondition));
  end_and_release(host, first, 1, started);
  CHECK(host.stop() == 0);
}

TEST_CASE("volumes that are asked for at the same time do not pass the total together") {
  FlodeadHost host({"--max-disk", "64Mi"});
  std::vector<std::uint64_t> asked;
  for (int i = 0; i < 8; ++i) {
    v1::Request request;
    request.mutable_create_volume()->set_agent_id(AgentId::random().text());
    request.mutable_create_volume()->set_size_bytes(16 << 20);
    asked.push_back(host.send(std::move(request)));
  }
  int made = 0, refused = 0;
  for (std::uint64_t id : asked) {
    auto reply = host.wait_reply(id).reply;
    if (reply.code() == 0)
      ++made;
    else if (reply.code() == static_cast<std::uint32_t>(Code::kResourceExhausted))
      ++refused;
  }
  CHECK(made >= 1);
  CHECK(made <= 3);  // a volume of 16 MiB takes a little more than that
  CHECK(made + refused == 8);
  CHECK(host.stop() == 0);
}

TEST_CASE("control cannot pile up requests without end") {
  FlodeadHost host;
  AgentId agent = AgentId::random();
  PidFd vault = host.child_named("flodea-vault");
  REQUIRE(vault.send_signal(SIGSTOP));
  v1::Request create;  // waits for the vault, and all others for it: one agent, one turn
  create.mutable_create_volume()->set_agent_id(agent.text());
  create.mutable_create_volume()->set_size_bytes(16 << 20);
  std::vector<std::uint64_t> asked{host.send(std::move(create))};
  while (asked.size() < 600) {
    v1::Request release;
    release.mutable_release()->set_agent_id(agent.text());
    release.mutable_release()->set_generation(1);
    asked.push_back(host.send(std::move(release)));
    v1::Request hello;  // its socket holds only so many
    hello.mutable_hello()->set_protocol(1);
    if (asked.size() % 50 == 0) host.ask(std::move(hello));
  }
  REQUIRE(vault.send_signal(SIGCONT));
  int refused = 0;
  for (std::uint64_t id : asked) {
    auto reply = host.wait_reply(id).reply;
    if (reply.code() == static_cast<std::uint32_t>(Code::kResourceExhausted)) ++refused;
  }
  CHECK(refused == 600 - 512);
  CHECK(host.stop() == 0);
}

TEST_CASE("an agent past its memory limit is ended as a whole, with the kills counted") {
  FlodeadHost host;
  AgentId agent = AgentId::random();
  require_ok(host.create_volume(agent), host);
  auto started = host.start(agent, 1, [](v1::StartRequest& start) {
    start.mutable_limits()->set_memory_bytes(48 << 20);
  });
  require_ok(started, host);
  constexpr std::string_view kEat = "agent eat 96";  // the answer may never come
  REQUIRE(::send(started.fds[0].get(), kEat.data(), kEat.size(), MSG_NOSIGNAL) > 0);
  auto event = host.wait_event([](const v1::Reply& e) { return e.has_instance_exited(); });
  CHECK(event.instance_exited().oom_kills() >= 1);
  CHECK(event.instance_exited().memory_peak() > 40u << 20);
  end_and_release(host, agent, 1, started);
  CHECK(host.stop() == 0);
}

TEST_CASE("an instance is ended at its deadline") {
  FlodeadHost host;
  AgentId agent = AgentId::random();
  require_ok(host.create_volume(agent), host);
  auto started = host.start(agent, 1);
  require_ok(started, host);
  v1::Request request;
  request.mutable_set_deadline()->set_agent_id(agent.text());
  request.mutable_set_deadline()->set_generation(1);
  request.mutable_set_deadline()->set_boottime_ns(
      static_cast<std::uint64_t>((SystemClock().boot() + std::chrono::milliseconds(50)).count()));
  require_ok(host.ask(request), host);
  auto event = host.wait_event([](const v1::Reply& e) { return e.has_instance_exited(); });
  CHECK(event.instance_exited().killed_by() == "deadline");
  end_and_release(host, agent, 1, started);
  CHECK(host.stop() == 0);
}

TEST_CASE("flodead takes at most 5 MB of memory (PSS)") {
  FlodeadHost host;
  std::istringstream lines(slurp("/proc/" + std::to_string(host.pid()) + "/smaps_rollup"));
  long pss = 0;
  for (std::string word; lines >> word;) {
    if (word == "Pss:") lines >> pss;
  }
  std::cout << "flodead PSS " << pss << " KiB\n";
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(pss > 0);
  CHECK(pss <= 5 * 1024);
#endif
  CHECK(host.stop() == 0);
}
