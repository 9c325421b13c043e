// flodead is executed again in place, or killed and followed by another, and its agents go on; what
// refuses a reload leaves them untouched; what cannot be taken over is undone.
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "base/fd_layout.h"
#include "flodea/root/v1/kept.pb.h"
#include "supervisor/root/testing/flodead_host.h"
#include "supervisor/root/testing/inventory.h"
#include "supervisor/root/testing/slurp.h"

using namespace flodea;
using namespace flodea::root;
using namespace flodea::root::testing;
namespace fs = std::filesystem;

namespace {

void require_ok(const Answered& answered, const FlodeadHost& host) {
  INFO(answered.reply.step() << ": " << answered.reply.message() << "\n" << host.log());
  REQUIRE(answered.reply.code() == 0);
}

// One agent that runs, as the test sees it from outside.
struct Running {
  explicit Running(FlodeadHost& host) : host(host) {
    require_ok(host.create_volume(agent), host);
    before = take_inventory(host);
    auto started = host.start(agent, 1);
    require_ok(started, host);
    worker_pid = started.reply.start().worker_pid();
    worker = std::move(*PidFd::open(worker_pid));
    CHECK(ask_probe(started.fds[0].get(), "agent write /data/kept hello") == "5 0");
  }

  Answered adopted() const {
    v1::Request adopt;
    adopt.mutable_adopt()->set_agent_id(agent.text());
    adopt.mutable_adopt()->set_generation(1);
    auto answer = host.ask(std::move(adopt));
    require_ok(answer, host);
    REQUIRE(answer.fds.size() == 4);
    return answer;
  }

  // The same process, on its disk, its socket answering.
  void check_goes_on() const {
    INFO(host.log());
    v1::Request list;
    list.mutable_list();
    auto listed = host.ask(std::move(list));
    REQUIRE(listed.reply.list().instances_size() == 1);
    CHECK(listed.reply.list().instances(0).state() == v1::INSTANCE_STATE_RUNNING);
    CHECK(listed.reply.list().instances(0).start().worker_pid() == worker_pid);
    CHECK_FALSE(*worker.ended(0));
    auto answer = adopted();
    CHECK(ask_probe(answer.fds[0].get(), "agent read /data/kept") == "hello");
    CHECK(ask_probe(answer.fds[0].get(), "agent write /data/again hello") == "5 0");
  }

  // By the worker, as one that is compromised could.
  void replace(int number) const {
    auto answer = adopted();
    CHECK(ask_probe(answer.fds[0].get(), "replace " + std::to_string(number) + " /data") ==
          std::to_string(number) + " 0");
  }

  void end() const {
    require_ok(host.kill_instance(agent, 1), host);
    CHECK(*worker.ended(0));
    auto released = host.release(agent, 1);
    require_ok(released, host);
    for (const std::string& left : released.reply.release().leftovers()) FAIL_CHECK(left);
    CHECK(difference(before, take_inventory(host)) == "");
  }

  FlodeadHost& host;
  AgentId agent = AgentId::random();
  Inventory before;
  pid_t worker_pid = 0;
  PidFd worker;
};

std::uint64_t epoch_of(const FlodeadHost& host) {
  std::uint64_t epoch = 0;
  REQUIRE(std::sscanf(host.control_arguments().c_str(), "--epoch %lu ", &epoch) == 1);
  return epoch;
}

v1::Reply wait_for_self(FlodeadHost& host, const std::string& begins) {
  return host.wait_event([&](const v1::Reply& e) {
    return e.has_service_changed() && e.service_changed().service() == "flodead" &&
           e.service_changed().why().starts_with(begins);
  });
}

void hello(FlodeadHost& host) {
  v1::Request request;
  request.mutable_hello()->set_protocol(1);
  require_ok(host.ask(std::move(request)), host);
}

// Seconds until each timer of flodead's that counts suspended time too: its agents' deadlines.
std::vector<long> deadlines(const FlodeadHost& host) {
  std::vector<long> found;
  for (const auto& entry :
       fs::directory_iterator("/proc/" + std::to_string(host.pid()) + "/fdinfo")) {
    std::string info = slurp(entry.path());
    std::size_t left = info.find("it_value: (");
    if (left != std::string::npos && info.find("clockid: 7\n") != std::string::npos)
      found.push_back(std::stol(info.substr(left + 11)));
  }
  return found;
}

// As an upgrade does: another file under the same name.
void replace_program(const FlodeadHost& host, const std::string& name, const std::string& by) {
  std::string path = host.dir() + "/bin/" + name;
  fs::remove(path);
  if (by.empty()) return;
  fs::copy_file(by, path);
}

}  // namespace

TEST_CASE("an agent goes on through reloads, asked for by control and by SIGHUP") {
  FlodeadHost host;
  Running agent(host);
  pid_t vault = host.child_named("flodea-vault").pid();
  for (std::uint64_t epoch = 2; epoch <= 4; ++epoch) {
    pid_t flodead = host.pid();
    if (epoch == 3)
      host.signal(SIGHUP);
    else
      host.send_reload();
    host.accept_control();
    hello(host);
    wait_for_self(host, "reloaded, version ");
    CHECK(host.pid() == flodead);
    CHECK(epoch_of(host) == epoch);
    agent.check_goes_on();
  }
  CHECK(host.child_named("flodea-vault").pid() == vault);
  agent.end();
  CHECK(host.stop() == 0);
}

TEST_CASE("the end of a worker is seen after a reload, with its status") {
  FlodeadHost host;
  Running agent(host);
  host.send_reload();
  host.accept_control();
  REQUIRE(agent.worker.send_signal(SIGTERM));
  REQUIRE(agent.worker.send_signal(SIGKILL));
  auto event = host.wait_event([](const v1::Reply& e) { return e.has_instance_exited(); });
  CHECK(event.instance_exited().status_known());
  CHECK(event.instance_exited().signaled());
  agent.end();
  CHECK(host.stop() == 0);
}

TEST_CASE("a vault of another build is replaced at a reload, and its volumes go on") {
  FlodeadHost host;
  Running agent(host);
  PidFd vault = host.child_named("flodea-vault");
  replace_program(host, "flodea-vault", std::string(FLODEA_PROGRAMS) + "/flodea-vault");
  host.send_reload();
  host.accept_control();
  CHECK(*vault.ended(20'000));
  agent.check_goes_on();
  agent.end();
  CHECK(host.stop() == 0);
}

TEST_CASE("a deadline outlives a reload") {
  FlodeadHost host;
  Running agent(host);
  auto set_deadline = [&](Nanos from_now) {
    v1::Request request;
    request.mutable_set_deadline()->set_agent_id(agent.agent.text());
    request.mutable_set_deadline()->set_generation(1);
    request.mutable_set_deadline()->set_boottime_ns(
        static_cast<std::uint64_t>((SystemClock().boot() + from_now).count()));
    require_ok(host.ask(std::move(request)), host);
  };
  CHECK(deadlines(host).empty());
  set_deadline(std::chrono::hours(2));
  host.send_reload();
  host.accept_control();
  agent.check_goes_on();
  auto kept = deadlines(host);
  REQUIRE(kept.size() == 1);
  CHECK(kept[0] > 3600);
  CHECK(kept[0] <= 7200);
  set_deadline(std::chrono::milliseconds(50));
  auto event = host.wait_event([](const v1::Reply& e) { return e.has_instance_exited(); });
  CHECK(event.instance_exited().killed_by() == "deadline");
  agent.end();
  CHECK(host.stop() == 0);
}

TEST_CASE("a reload to a program that cannot run, or refuses the state, changes nothing") {
  FlodeadHost host;
  Running agent(host);
  std::string text = host.dir() + "/text";
  std::ofstream(text) << "not a program\n";
  fs::permissions(text, fs::perms(0755));
  struct Case {
    const char* program;
    std::string by;
    const char* why;
  };
  const Case cases[] = {
      {"flodead", text, "Exec format error"},
      {"flodead", "/bin/false", "exit status 1"},
      {"flodead", "", "No such file"},
      {"flodea-helper", "", "open flodea-helper"},
      {"policy/profiles/python.json", text, "python"},
  };
  for (const Case& c : cases) {
    INFO(c.why);
    replace_program(host, c.program, c.by);
    auto refused = host.wait_reply(host.send_reload());
    CHECK(refused.reply.code() != 0);
    INFO(refused.reply.message());
    CHECK(refused.reply.message().find(c.why) != std::string::npos);
    CHECK_FALSE(refused.reply.remedy().empty());
    wait_for_self(host, "reload refused: ");
    replace_program(host, c.program, std::string(FLODEA_PROGRAMS) + "/" + c.program);
    INFO(host.log());
    CHECK(epoch_of(host) == 1);
    agent.check_goes_on();
  }
  host.send_reload();
  host.accept_control();
  agent.check_goes_on();
  agent.end();
  CHECK(host.stop() == 0);
}

TEST_CASE("after kill -9 of flodead the next one goes on with its agents") {
  FlodeadHost host;
  Running agent(host);
  for (std::uint64_t epoch = 2; epoch <= 3; ++epoch) {
    host.kill();
    CHECK_FALSE(*agent.worker.ended(0));
    host.launch();
    host.accept_control();
    hello(host);
    wait_for_self(host, "took over from a flodead that was killed, 1 agents");
    CHECK(epoch_of(host) == epoch);
    agent.check_goes_on();
  }
  host.send_reload();  // of a flodead that is not the parent of its workers
  host.accept_control();
  agent.check_goes_on();
  agent.end();
  auto event = host.wait_event([](const v1::Reply& e) { return e.has_instance_exited(); });
  CHECK_FALSE(event.instance_exited().status_known());
  CHECK(event.instance_exited().killed_by() == "operator");
  CHECK(host.stop() == 0);
}

TEST_CASE("what cannot be taken over is undone") {
  FlodeadHost host;
  Running agent(host);
  std::string journal = host.dir() + "/run/journal/";
  std::string entry = journal + agent.agent.text() + "-1";
  const std::string good = slurp(entry);
  bool disk_kept = true;  // what it wrote was not synced
  SECTION("its worker has ended meanwhile") {
    host.kill();
    REQUIRE(agent.worker.send_signal(SIGKILL));
    CHECK(*agent.worker.ended(20'000));
  }
  SECTION("its worker has put another directory in its store's place") {
    agent.replace(fd_layout::worker::kStore);
    host.kill();
  }
  SECTION("its worker has put a directory in its status page's place") {
    agent.replace(fd_layout::worker::kStatusPage);
    host.kill();
  }
  SECTION("its worker has put a directory in its attach socket's place") {
    agent.replace(fd_layout::worker::kAttachPeer);
    host.kill();
  }
  SECTION("its journal entry is cut off") {
    host.kill();
    std::ofstream(entry) << good.substr(0, good.size() / 2);
  }
  SECTION("its journal entry says no more than how to undo it") {
    host.kill();
    v1::KeptInstance kept;
    REQUIRE(kept.ParseFromString(good));
    std::ofstream(entry) << kept.boot_id() << " " << kept.uid_range() << "\n";
  }
  SECTION("its entry is under another agent's name") {
    host.kill();
    fs::rename(entry, journal + AgentId::random().text() + "-1");
  }
  SECTION("it has no entry") {
    host.kill();
    fs::remove(entry);
  }
  SECTION("the vault was killed too") {
    PidFd vault = host.child_named("flodea-vault");
    host.kill();
    REQUIRE(vault.send_signal(SIGKILL));
    CHECK(*vault.ended(20'000));
    disk_kept = false;
  }
  host.launch();
  host.accept_control();
  INFO(host.log());
  CHECK(*agent.worker.ended(0));
  v1::Request list;
  list.mutable_list();
  CHECK(host.ask(std::move(list)).reply.list().instances_size() == 0);
  auto again = host.start(agent.agent, 2);
  require_ok(again, host);
  if (disk_kept) CHECK(ask_probe(again.fds[0].get(), "agent read /data/kept") == "hello");
  require_ok(host.kill_instance(agent.agent, 2), host);
  again.fds.clear();
  require_ok(host.release(agent.agent, 2), host);
  CHECK(host.stop() == 0);
}
