#include "supervisor/root/testing/flodead_host.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/root/testing/own_mounts.h"
#include "supervisor/root/testing/slurp.h"

namespace flodea::root::testing {
namespace {

namespace fs = std::filesystem;
constexpr int kPatienceMs = 20'000;
const std::string kBundle(64, 'b');
// Of the probe that stands in a job's place: files and sockets are let through, so that what stops
// it is the sandbox.
constexpr const char* kProbeProfile = R"({"include": ["job", "common", "files"], "rules": [
  {"syscalls": ["socket", "connect", "execve", "mount"], "action": "allow", "reason": "The probe tries them."}]})";

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().describe());
  return std::move(*result);
}

// A directory of programs in which the worker and control are ours.
void install_programs(const std::string& dir) {
  fs::create_directories(dir + "/policy");
  for (const char* name : {"flodead", "flodea-helper", "flodea-vault"})
    fs::copy_file(std::string(FLODEA_PROGRAMS) + "/" + name, dir + "/" + name);
  fs::copy_file(FLODEA_SANDBOX_PROBE, dir + "/flodea-worker");
  fs::copy_file(FLODEA_CONTROL_STUB, dir + "/flodea-control");
  fs::copy(std::string(FLODEA_PROGRAMS) + "/policy/profiles", dir + "/policy/profiles");
  fs::remove(dir + "/policy/profiles/unpacker.json");
  fs::copy_file(FLODEA_JOB_PROBE, dir + "/flodea-unpack");
  std::ofstream(dir + "/policy/profiles/unpacker.json") << kProbeProfile;
}

bool readable(int fd, int timeout_ms) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, timeout_ms) > 0;
}

}  // namespace

FlodeadHost::FlodeadHost(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {
  static const bool own_mounts = (enter_own_mount_namespace(), true);
  REQUIRE(own_mounts);
  char pattern[] = "/tmp/flodea-root-XXXXXX";
  dir_ = ::mkdtemp(pattern);
  fs::permissions(dir_, fs::perms(0755));
  install_programs(dir_ + "/bin");
  listener_ = must(adopt_fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s/run.sock", dir_.c_str());
  REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
          0);
  REQUIRE(::chmod(address.sun_path, 0777) == 0);
  REQUIRE(::listen(listener_.get(), 8) == 0);
  launch();
  accept_control();
  fs::create_directories(dir_ + "/state/bundles/" + kBundle + "/app");
  std::ofstream(dir_ + "/state/bundles/" + kBundle + "/app/main.py") << "print('hello')\n";
}

FlodeadHost::~FlodeadHost() {
  if (flodead_.valid()) {
    kill();
    launch();  // the next life undoes what this one left
    accept_control();
    stop();
  }
  fs::remove_all(dir_);
}

void FlodeadHost::launch() {
  std::vector<std::string> words{dir_ + "/bin/flodead", "--state-dir", dir_ + "/state", "--run-dir",
                                 dir_ + "/run"};
  words.insert(words.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 2, (dir_ + "/log").c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0644);
  // What the test program was given (ctest's log and pipes) is none of flodead's.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  pid_t pid = -1;
  int error = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  REQUIRE(error == 0);
  flodead_ = must(PidFd::open(pid));
}

void FlodeadHost::accept_control() {
  if (!readable(listener_.get(), kPatienceMs)) FAIL(log());
  stub_ = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(readable(stub_.get(), kPatienceMs));
  auto message = must(receive_fd_message(stub_.get()));
  control_arguments_ = message.bytes;
  control_fds_ = std::move(message.fds);
  unread_.clear();
}

void FlodeadHost::end_control(int status) {
  control_fds_.clear();
  char byte = static_cast<char>(status);
  REQUIRE(::send(stub_.get(), &byte, 1, MSG_NOSIGNAL) == 1);
}

int FlodeadHost::wait_end() {
  if (!must(flodead_.ended(kPatienceMs))) FAIL(log());
  auto status = must(flodead_.wait());
  flodead_ = PidFd();
  // A service that a sanitizer ended was started again: only its words tell.
  if (log().find("Sanitizer") != std::string::npos ||
      log().find(": runtime error: ") != std::string::npos)
    FAIL_CHECK(log());
  return status.signaled ? -status.value : status.value;
}

int FlodeadHost::stop() {
  REQUIRE(flodead_.send_signal(SIGTERM));
  wait_event([](const v1::Reply& event) { return event.has_shutdown_requested(); });
  end_control(0);
  return wait_end();
}

void FlodeadHost::kill() {
  REQUIRE(flodead_.send_signal(SIGKILL));
  CHECK(wait_end() == -SIGKILL);
}

void FlodeadHost::signal(int number) { REQUIRE(flodead_.send_signal(number)); }

std::uint64_t FlodeadHost::send_reload() {
  v1::Request request;
  request.mutable_reload();
  return send(std::move(request));
}

std::string FlodeadHost::log() const { return slurp(dir_ + "/log"); }

std::vector<PidFd> FlodeadHost::children_named(const std::string& name) const {
  std::ifstream children("/proc/" + std::to_string(pid()) + "/task/" + std::to_string(pid()) +
                         "/children");
  std::vector<PidFd> found;
  for (pid_t child; children >> child;) {
    if (!slurp("/proc/" + std::to_string(child) + "/comm").starts_with(name)) continue;
    auto opened = PidFd::open(child);
    if (opened) found.push_back(std::move(*opened));
  }
  return found;
}

PidFd FlodeadHost::child_named(const std::string& name) const {
  // A service is announced when it has been cloned, and has its name from its exec on.
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  auto children = children_named(name);
  while (children.empty() && std::chrono::steady_clock::now() < deadline)
    children = children_named(name);
  if (children.empty()) FAIL("flodead has no child " << name << "\n" << log());
  return std::move(children.front());
}

// recvmsg(2) is where a helper waits for its request, and nowhere else.
static bool awaits_its_request(const PidFd& helper) {
  return slurp("/proc/" + std::to_string(helper.pid()) + "/syscall")
      .starts_with(std::to_string(SYS_recvmsg) + " ");
}

void FlodeadHost::settle() {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  for (bool settled = false; !settled;) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    auto helpers = children_named("flodea-helper");
    settled = helpers.size() == 1 && awaits_its_request(helpers.front());
    v1::Request request;
    request.mutable_hello()->set_protocol(1);
    ask(request);  // a turn of its loop: it has reaped what ended
  }
}

void FlodeadHost::kill_service(const std::string& name) {
  std::erase_if(unread_, [](const Answered& a) { return a.reply.has_service_changed(); });
  REQUIRE(child_named(name).send_signal(SIGKILL));
  wait_event([&](const v1::Reply& e) {
    return e.has_service_changed() && e.service_changed().service() == name &&
           !e.service_changed().up();
  });
  wait_event([&](const v1::Reply& e) {
    return e.has_service_changed() && e.service_changed().service() == name &&
           e.service_changed().up();
  });
}

std::uint64_t FlodeadHost::send(v1::Request request) {
  request.set_id(next_id_++);
  auto sent = send_fd_message(control_fds_.at(0).get(), request.SerializeAsString());
  if (!sent) FAIL(sent.error().describe());
  return request.id();
}

static Answered receive(int socket, const std::function<std::string()>& log) {
  if (!readable(socket, kPatienceMs)) FAIL(log());
  auto message = must(receive_fd_message(socket));
  Answered answered{.fds = std::move(message.fds)};
  REQUIRE(answered.reply.ParseFromString(message.bytes));
  return answered;
}

Answered FlodeadHost::wait_reply(std::uint64_t id) {
  auto is_it = [id](const Answered& a) { return a.reply.id() == id; };
  for (;;) {
    auto found = std::ranges::find_if(unread_, is_it);
    if (found == unread_.end()) {
      unread_.push_back(receive(control_fds_.at(0).get(), [this] { return log(); }));
      continue;
    }
    Answered answered = std::move(*found);
    unread_.erase(found);
    return answered;
  }
}

v1::Reply FlodeadHost::wait_event(const std::function<bool(const v1::Reply&)>& wanted) {
  for (;;) {
    auto found = std::ranges::find_if(
        unread_, [&](const Answered& a) { return a.reply.id() == 0 && wanted(a.reply); });
    if (found == unread_.end()) {
      unread_.push_back(receive(control_fds_.at(0).get(), [this] { return log(); }));
      continue;
    }
    v1::Reply event = found->reply;
    unread_.erase(found);
    return event;
  }
}

Answered FlodeadHost::create_volume(const AgentId& agent, std::uint64_t bytes) {
  v1::Request request;
  request.mutable_create_volume()->set_agent_id(agent.text());
  request.mutable_create_volume()->set_size_bytes(bytes);
  return ask(std::move(request));
}

v1::StartRequest FlodeadHost::start_request(const AgentId& agent, std::uint64_t generation) const {
  v1::StartRequest start;
  start.set_agent_id(agent.text());
  start.set_generation(generation);
  start.set_hostname("probe");
  start.set_bundle(kBundle);
  start.set_runtime("python");
  start.mutable_limits()->set_memory_bytes(64 << 20);
  start.mutable_limits()->set_cpu_millis(1000);
  start.mutable_limits()->set_pids(32);
  start.mutable_limits()->set_open_files(128);
  start.mutable_limits()->set_tmp_bytes(8 << 20);
  return start;
}

Answered FlodeadHost::start(const AgentId& agent, std::uint64_t generation,
                            const std::function<void(v1::StartRequest&)>& change) {
  v1::Request request;
  *request.mutable_start() = start_request(agent, generation);
  if (change) change(*request.mutable_start());
  return ask(std::move(request));
}

Answered FlodeadHost::kill_instance(const AgentId& agent, std::uint64_t generation) {
  v1::Request request;
  request.mutable_kill()->set_agent_id(agent.text());
  request.mutable_kill()->set_generation(generation);
  request.mutable_kill()->set_reason("operator");
  return ask(std::move(request));
}

Answered FlodeadHost::release(const AgentId& agent, std::uint64_t generation) {
  v1::Request request;
  request.mutable_release()->set_agent_id(agent.text());
  request.mutable_release()->set_generation(generation);
  return ask(std::move(request));
}

Answered FlodeadHost::run_job(std::vector<std::string> arguments,
                              const std::function<void(v1::RunJobRequest&)>& change) {
  v1::Request request;
  auto& job = *request.mutable_run_job();
  job.set_program("unpacker");
  job.set_bundle(kBundle);
  for (std::string& word : arguments) job.add_arguments(std::move(word));
  job.set_memory_bytes(32 << 20);
  job.set_seconds(20);
  job.set_output_bytes(1 << 20);
  if (change) change(job);
  return ask(std::move(request));
}

Answered FlodeadHost::destroy(const AgentId& agent) {
  v1::Request request;
  request.mutable_destroy_volume()->set_agent_id(agent.text());
  return ask(std::move(request));
}

std::string ask_probe(int attach, const std::string& command) {
  REQUIRE(::send(attach, command.data(), command.size(), MSG_NOSIGNAL) >= 0);
  std::string answer(32768, '\0');
  REQUIRE(readable(attach, kPatienceMs));
  ssize_t n = ::recv(attach, answer.data(), answer.size(), 0);
  answer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return answer;
}

}  // namespace flodea::root::testing
