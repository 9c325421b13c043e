// The sandbox itself, with a probe in the worker's place and a tmpfs in the volume's. What the
// volume, the helper and the root protocol add is in flodead_security_test.cc.
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "supervisor/root/sandbox.h"
#include "supervisor/root/stage.h"
#include "supervisor/root/testing/own_mounts.h"
#include "supervisor/root/testing/slurp.h"

using namespace flodea;
using namespace flodea::root;
using flodea::root::testing::slurp;

namespace {

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().describe());
  return std::move(*result);
}
void must(Status status) {
  if (!status) FAIL(status.error().describe());
}

// A network namespace under this process's user namespace, with loopback up; made by a child as the
// helper does.
UniqueFd make_netns() {
  auto pair = must(make_socketpair(SOCK_SEQPACKET));
  pid_t pid = ::fork();
  if (pid == 0) {
    char byte;
    pair.first.reset();
    bool made = ::unshare(CLONE_NEWNET) == 0;
    UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    request.ifr_name[0] = 'l', request.ifr_name[1] = 'o';
    request.ifr_flags = IFF_UP;
    made = made && ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
    [[maybe_unused]] ssize_t sent = ::write(pair.second.get(), made ? "y" : "n", 1);
    [[maybe_unused]] ssize_t got = ::read(pair.second.get(), &byte, 1);
    ::_exit(0);
  }
  char made = 'n';
  REQUIRE(::read(pair.first.get(), &made, 1) == 1);
  REQUIRE(made == 'y');
  auto path = "/proc/" + std::to_string(pid) + "/ns/net";
  UniqueFd netns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  pair.first.reset();
  ::waitpid(pid, nullptr, 0);
  return netns;
}

UniqueFd make_tmpfs_volume() {
  UniqueFd fs(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  REQUIRE(::fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0);
  UniqueFd tree(::fsmount(fs.get(), FSMOUNT_CLOEXEC, 0));
  must(make_dir(tree.get(), "upper", 0755));
  must(make_dir(tree.get(), "work", 0755));
  return tree;
}

// Everything that sandboxes share, once per test program: the private mount namespace cannot be
// entered twice.
struct Fixture {
  std::string run_dir;
  SandboxTemplate shared;
  CgroupTree cgroups;
  std::string host_mountinfo;  // a file: of the namespace that is this program's host
  std::string host_mounts;

  static Fixture& get() {
    static Fixture fixture = make();
    return fixture;
  }
  static Fixture make() {
    char pattern[] = "/tmp/flodea-root-XXXXXX";
    std::string dir = ::mkdtemp(pattern);
    testing::enter_own_mount_namespace();
    std::string host_mountinfo = testing::keep_mountinfo();
    std::string before = slurp(host_mountinfo);
    must(leave_host_mount_namespace());
    UniqueFd run(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    must(make_skeleton(run.get()));
    must(enter_stage(run.get(), Stage::kNew));
    std::filesystem::create_directories(dir + "/bundle/app");
    std::ofstream(dir + "/bundle/app/main.py") << "print('hello')\n";
    SandboxTemplate shared{.skeleton = dir + "/rootfs", .trees = host_trees("/nonexistent")};
    shared.worker = UniqueFd(::open(FLODEA_SANDBOX_PROBE, O_RDONLY | O_CLOEXEC));
    REQUIRE(shared.worker.valid());
    shared.own_netns = UniqueFd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    auto hierarchies =
        must(CgroupHierarchies::parse(slurp("/proc/self/mountinfo"), slurp("/proc/self/cgroup")));
    auto cgroups = must(CgroupTree::create(hierarchies, "test-" + std::to_string(::getpid())));
    return {dir, std::move(shared), std::move(cgroups), host_mountinfo, before};
  }
  ~Fixture() {
    [[maybe_unused]] auto removed = cgroups.remove_all();
    std::filesystem::current_path("/");
    ::umount2((run_dir + "/stage/dev").c_str(), MNT_DETACH);
    std::filesystem::remove_all(run_dir);
  }
};

// A running probe, killed and its group removed at the end.
class Probe {
 public:
  // `meanwhile` happens after the trees of the host were taken and before they are mounted.
  explicit Probe(CgroupLimits limits = {.memory_bytes = 64 << 20, .cpu_millis = 1000, .pids = 32},
                 const std::function<void()>& meanwhile = {}) {
    static int count = 0;
    Fixture& f = Fixture::get();
    name_ = "probe-" + std::to_string(count);
    group_.emplace(must(f.cgroups.make(name_, limits)));
    auto socket = must(make_socketpair(SOCK_SEQPACKET));
    auto netns = make_netns();
    auto volume = make_tmpfs_volume();
    UniqueFd bundle(::open((f.run_dir + "/bundle").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    SandboxRequest request{
        .hostname = "probe",
        .range = {.index = 0,
                  .base = UidRanges::kFirst + 65536u * (10u + static_cast<unsigned>(count++))},
        .tmp_bytes = 8 << 20,
        .open_files = 256};
    request.bundle = bundle.get();
    request.netns = netns.get();
    request.volume = volume.get();
    request.worker_fds.fill(-1);
    request.worker_fds[0] = socket.second.get();
    request.group = &*group_;
    if (meanwhile) must(group_->freeze("1"));
    sandbox_ = must(launch_sandbox(f.shared, request));
    if (meanwhile) {
      meanwhile();
      must(group_->freeze("0"));
    }
    socket_ = std::move(socket.first);
    outcome_ = wait_for_setup();
  }
  ~Probe() {
    must(group_->kill());
    [[maybe_unused]] auto status = sandbox_.worker.wait();
    while (must(group_->populated())) {
      pollfd change{.fd = group_->events_fd(), .events = POLLPRI, .revents = 0};
      ::poll(&change, 1, 1000);
    }
    must(Fixture::get().cgroups.remove(name_));
  }

  std::string ask(const std::string& command) {
    REQUIRE(::send(socket_.get(), command.data(), command.size(), MSG_NOSIGNAL) >= 0);
    std::string answer(32768, '\0');
    ssize_t n = ::recv(socket_.get(), answer.data(), answer.size(), 0);
    answer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return answer;
  }
  std::string failed(int error) { return "-1 " + std::to_string(error); }
  const SetupOutcome& outcome() const { return outcome_; }
  const LaunchedSandbox& sandbox() const { return sandbox_; }
  const Cgroup& group() const { return *group_; }

 private:
  SetupOutcome wait_for_setup() {
    std::string bytes;
    for (;;) {
      pollfd ready{.fd = sandbox_.report.get(), .events = POLLIN, .revents = 0};
      ::poll(&ready, 1, 5000);
      char buffer[4096];
      ssize_t n = ::read(sandbox_.report.get(), buffer, sizeof buffer);
      if (n <= 0) break;
      bytes.append(buffer, static_cast<std::size_t>(n));
    }
    return read_setup_outcome(bytes, sandbox_.go_ns);
  }

  std::string name_;
  std::optional<Cgroup> group_;
  LaunchedSandbox sandbox_;
  UniqueFd socket_;
  SetupOutcome outcome_;
};

std::string line_of(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(key)) return line.substr(key.size());
  }
  return "";
}

}  // namespace

TEST_CASE("a sandbox starts the worker and says how long each step took") {
  Probe probe;
  INFO(probe.outcome().failed_step << " errno " << probe.outcome().error);
  REQUIRE(probe.outcome().executed);
  CHECK(probe.ask("uid") == "0 0");
  for (const PhaseTime& phase : probe.sandbox().phases)
    std::cout << "parent " << phase.name << " " << static_cast<double>(phase.nanos) / 1e6
              << " ms\n";
  for (const PhaseTime& phase : probe.outcome().phases)
    std::cout << "child  " << phase.name << " " << static_cast<double>(phase.nanos) / 1e6
              << " ms\n";
}

TEST_CASE("the worker keeps three capabilities of its own user namespace, the agent none") {
  Probe probe;
  std::string worker = probe.ask("read /proc/self/status");
  CHECK(line_of(worker, "CapEff:\t") == "00000000000000e0");
  CHECK(line_of(worker, "CapPrm:\t") == "00000000000000e0");
  CHECK(line_of(worker, "CapBnd:\t") == "0000000000000000");
  CHECK(line_of(worker, "NoNewPrivs:\t") == "1");
  std::string agent = probe.ask("agent read /proc/self/status");
  CHECK(line_of(agent, "CapEff:\t") == "0000000000000000");
  CHECK(line_of(agent, "CapPrm:\t") == "0000000000000000");
  CHECK(line_of(agent, "CapAmb:\t") == "0000000000000000");
  CHECK(probe.ask("agent setuid0") == probe.failed(EPERM));
  CHECK(probe.ask("agent kill1") == probe.failed(EPERM));
}

TEST_CASE("nothing of a sandbox is attached in the host's mount namespace") {
  std::string before = Fixture::get().host_mounts;
  Probe probe;
  REQUIRE(probe.outcome().executed);
  REQUIRE_FALSE(before.empty());
  CHECK(slurp(Fixture::get().host_mountinfo) == before);
  CHECK(probe.ask("read /proc/self/mountinfo").find(Fixture::get().run_dir) == std::string::npos);
}

TEST_CASE(
    "the root is writable for its root alone, /usr and /dev for nobody, /data for the agent") {
  Probe probe;
  CHECK(probe.ask("write /worker-was-here x") == "1 0");
  CHECK(probe.ask("agent write /agent-was-here x") == probe.failed(EACCES));
  CHECK(probe.ask("agent write /data/file hello") == "5 0");
  CHECK(probe.ask("agent read /data/file") == "hello");
  CHECK(probe.ask("agent stat /data") == "1000:1000 700");
  CHECK(probe.ask("agent read /app/main.py") == "print('hello')\n");
  CHECK(probe.ask("agent write /app/new x") == probe.failed(EACCES));
  CHECK(probe.ask("agent write /app/main.py x") == probe.failed(EACCES));
  CHECK(probe.ask("write /usr/new x") == probe.failed(EROFS));
  CHECK(probe.ask("write /dev/new x") == probe.failed(EROFS));
  CHECK(probe.ask("agent write /dev/null x") == "1 0");
  CHECK(probe.ask("agent write /tmp/file x") == "1 0");
  CHECK(probe.ask("agent write /dev/shm/file x") == "1 0");
  CHECK(probe.ask("stat /usr/bin") == "0:0 755");
}

TEST_CASE("a file of the host that is replaced during a start is shown as it is now") {
  Fixture& f = Fixture::get();
  std::string file = f.run_dir + "/of-the-host";
  REQUIRE(::chmod(f.run_dir.c_str(), 0755) == 0);  // as /etc is
  std::ofstream(file) << "before\n";
  f.shared.trees.push_back({file, "root/etc/hosts"});
  struct Restore {
    Fixture& f;
    ~Restore() {
      f.shared.trees.pop_back();
      ::chmod(f.run_dir.c_str(), 0700);
    }
  } restore{f};
  // As ldconfig replaces ld.so.cache.
  Probe probe({.memory_bytes = 64 << 20, .cpu_millis = 1000, .pids = 32}, [&] {
    std::ofstream(file + ".new") << "after\n";
    REQUIRE(::chmod((file + ".new").c_str(), 0666) == 0);  // nothing but the mount keeps it
    std::filesystem::rename(file + ".new", file);
  });
  INFO(probe.outcome().failed_step << " errno " << probe.outcome().error);
  REQUIRE(probe.outcome().executed);
  CHECK(probe.ask("agent read /etc/hosts") == "after\n");
  CHECK(probe.ask("write /etc/hosts x") == probe.failed(EROFS));
  CHECK(probe.ask("agent write /etc/hosts x") == probe.failed(EROFS));
  CHECK(slurp(file) == "after\n");
}

TEST_CASE("an agent sees no process but its own, and no /sys") {
  Probe probe;
  CHECK(probe.ask("agent list /proc").find("1 ") != 0);
  CHECK(probe.ask("agent read /proc/1/status") == probe.failed(ENOENT));
  CHECK(probe.ask("agent read /proc/meminfo") == probe.failed(ENOENT));
  CHECK(probe.ask("write /proc/self/oom_score_adj 0") == probe.failed(EROFS));
  CHECK(probe.ask("list /sys") == probe.failed(ENOENT));
}

TEST_CASE("there is loopback and no way out, and no hand on the network namespace") {
  Probe probe;
  CHECK(probe.ask("agent loopback") ==
        probe.failed(ECONNREFUSED));  // the interface is up: somebody answers
  CHECK(probe.ask("agent connect") == probe.failed(ENETUNREACH));
  CHECK(probe.ask("link-down") == probe.failed(EPERM));
}

TEST_CASE("mounts, device nodes and new namespaces are refused even to the worker") {
  Probe probe;
  CHECK(probe.ask("mount") == probe.failed(EPERM));
  CHECK(probe.ask("mknod") == probe.failed(EPERM));
  CHECK(probe.ask("unshare") == probe.failed(EPERM));
}

TEST_CASE("no descriptor reaches the worker but those of its layout") {
  Probe probe;
  std::istringstream fds(probe.ask("list /proc/self/fd"));
  std::vector<int> numbers;
  for (int fd; fds >> fd;) numbers.push_back(fd);
  std::ranges::sort(numbers);
  CHECK(numbers ==
        std::vector{0, 1, 2, 3, 4});  // 4 is the listing itself: no other was handed over
}

TEST_CASE("the memory limit kills who eats past it, and the kill is counted") {
  Probe free_to_eat({.memory_bytes = 256 << 20, .cpu_millis = 1000, .pids = 32});
  CHECK(free_to_eat.ask("agent eat 96") == "ate");
  Probe limited({.memory_bytes = 48 << 20, .cpu_millis = 1000, .pids = 32});
  std::string answer = limited.ask("agent eat 96");
  CHECK((answer == "killed 9" || answer.empty()));
  auto usage = must(must(CgroupReader::open(limited.group().paths())).read());
  CHECK(usage.oom_kills >= 1);
  CHECK(usage.memory_peak > 40u << 20);
  CHECK(usage.memory_peak <= 48u << 20);
}

TEST_CASE("the limit on processes stops a fork bomb") {
  Probe probe({.memory_bytes = 64 << 20, .cpu_millis = 1000, .pids = 20});
  CHECK(probe.ask("agent forks 100") == "18 11");  // the probe and its child are two of the 20
}

TEST_CASE("starts in a row: the median of each phase") {
  std::map<std::string, std::vector<double>> phases;
  std::vector<std::string> order;
  auto note = [&](const std::vector<PhaseTime>& list) {
    for (const PhaseTime& phase : list) {
      if (!phases.contains(phase.name)) order.push_back(phase.name);
      phases[phase.name].push_back(static_cast<double>(phase.nanos) / 1e6);
    }
  };
  for (int i = 0; i < 30; ++i) {
    Probe probe;
    REQUIRE(probe.outcome().executed);
    note(probe.sandbox().phases);
    note(probe.outcome().phases);
  }
  for (const std::string& name : order) {
    auto& times = phases[name];
    std::ranges::sort(times);
    std::cout << name << ": " << times[times.size() / 2] << " ms\n";
  }
}
