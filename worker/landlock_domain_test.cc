// Each action is first taken without the domain, where it must succeed: what is refused afterwards
// is refused by Landlock and by nothing else.
#include "worker/landlock_domain.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include <catch2/catch_test_macros.hpp>

namespace flodea::worker {
namespace {

namespace fs = std::filesystem;
using Action = std::function<int()>;  // 0 or -1 with errno

// A directory laid out as a sandbox's root.
struct Root {
  Root() {
    char name[] = "/tmp/flodea-landlock-XXXXXX";
    path = ::mkdtemp(name);
    for (const char* dir : {"app", "etc", "data/a", "data/b", "tmp", "var/tmp", "dev/shm"})
      fs::create_directories(path + "/" + dir);
    for (const char* file : {"app/main.py", "etc/passwd", "data/a/own"})
      std::ofstream(path + "/" + file) << "text";
  }
  ~Root() { fs::remove_all(path); }
  std::string at(const std::string& name) const { return path + "/" + name; }
  std::string path;
};

std::uint32_t offered() {
  std::uint32_t abi = offered_landlock_abi();
  if (abi < landlock::kOldestAbi) SKIP("this kernel offers no Landlock that is used");
  return abi;
}

// What the action says in a process of its own: 0 or errno. 255: the domain was not entered.
int in_child(const LandlockDomain* domain, const Action& action) {
  pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (domain != nullptr && enter_landlock(domain->ruleset()) != 0) ::_exit(255);
    ::_exit(action() == 0 ? 0 : errno);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct Case {
  const char* name;
  int error;  // within the domain; 0: allowed there too
  std::function<int(const Root&)> act;
};

void check(const Case& c, const landlock::Policy& policy) {
  CAPTURE(c.name);
  Root free, held;
  auto domain = LandlockDomain::create(policy, held.path);
  REQUIRE(domain);
  REQUIRE(in_child(nullptr, [&] { return c.act(free); }) == 0);
  CHECK(in_child(&*domain, [&] { return c.act(held); }) == c.error);
}

int open_for(const std::string& path, int flags) {
  return UniqueFd(::open(path.c_str(), flags | O_CLOEXEC, 0600)).valid() ? 0 : -1;
}

int bind_socket(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
}

sockaddr_un abstract_name() {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "flodea-test-%d", ::getpid());
  return address;
}

int rename_in(const Root& root, const char* from, const char* to) {
  return ::rename(root.at(from).c_str(), root.at(to).c_str());
}

}  // namespace

TEST_CASE("outside its own directories an agent changes nothing") {
  landlock::Policy policy = landlock::agent_policy(offered());
  for (const Case& c : {
           Case{"write a file of the system", EACCES,
                [](const Root& r) { return open_for(r.at("etc/passwd"), O_WRONLY); }},
           Case{"write its own code", EACCES,
                [](const Root& r) { return open_for(r.at("app/main.py"), O_RDWR | O_APPEND); }},
           Case{"make a file", EACCES,
                [](const Root& r) { return open_for(r.at("app/new"), O_WRONLY | O_CREAT); }},
           Case{"make a nameless file", EACCES,
                [](const Root& r) { return open_for(r.at("app"), O_WRONLY | O_TMPFILE); }},
           Case{"make a directory", EACCES,
                [](const Root& r) { return ::mkdir(r.at("new").c_str(), 0700); }},
           Case{"make a link", EACCES,
                [](const Root& r) { return ::symlink("/", r.at("etc/new").c_str()); }},
           Case{"make a FIFO", EACCES,
                [](const Root& r) { return ::mkfifo(r.at("etc/new").c_str(), 0600); }},
           Case{"remove a file", EACCES,
                [](const Root& r) { return ::unlink(r.at("app/main.py").c_str()); }},
           Case{"remove a directory", EACCES,
                [](const Root& r) { return ::rmdir(r.at("var/tmp").c_str()); }},
           Case{"move a file away", EACCES,
                [](const Root& r) { return rename_in(r, "app/main.py", "data/main.py"); }},
           Case{"put a file of its own in a place of the system", EACCES,
                [](const Root& r) { return rename_in(r, "data/a/own", "etc/passwd"); }},
       })
    check(c, policy);
}

TEST_CASE("outside its own directories an agent truncates nothing") {
  std::uint32_t abi = offered();
  if (abi < 3) SKIP("truncation needs Landlock ABI 3");
  check({"truncate a file of the system", EACCES,
         [](const Root& r) { return ::truncate(r.at("etc/passwd").c_str(), 0); }},
        landlock::agent_policy(abi));
}

TEST_CASE("a socket or a device node is made nowhere") {
  landlock::Policy policy = landlock::agent_policy(offered());
  check({"a socket in its own directory", EACCES,
         [](const Root& r) { return bind_socket(r.at("data/socket")); }},
        policy);
  if (::geteuid() != 0) SKIP("device nodes need root, for the control");
  check({"a device node in its own directory", EACCES,
         [](const Root& r) { return ::mknod(r.at("tmp/node").c_str(), S_IFCHR | 0600, 0x103); }},
        policy);
}

TEST_CASE("what is not beneath the sandbox's root is not read") {
  landlock::Policy policy = landlock::agent_policy(offered());
  check(
      {"a file of the host", EACCES, [](const Root&) { return open_for("/etc/passwd", O_RDONLY); }},
      policy);
  check({"a directory of the host", EACCES,
         [](const Root&) { return open_for("/etc", O_RDONLY | O_DIRECTORY); }},
        policy);
}

TEST_CASE("in its own directories an agent does as it likes") {
  landlock::Policy policy = landlock::agent_policy(offered());
  for (const Case& c : {
           Case{"read the system's files", 0,
                [](const Root& r) { return open_for(r.at("etc/passwd"), O_RDONLY); }},
           Case{"make and write a file", 0,
                [](const Root& r) {
                  return open_for(r.at("data/new"), O_RDWR | O_CREAT | O_TRUNC | O_EXCL);
                }},
           Case{"a nameless file", 0,
                [](const Root& r) { return open_for(r.at("tmp"), O_RDWR | O_TMPFILE); }},
           Case{"shared memory", 0,
                [](const Root& r) { return open_for(r.at("dev/shm/x"), O_RDWR | O_CREAT); }},
           Case{"truncate", 0,
                [](const Root& r) { return ::truncate(r.at("data/a/own").c_str(), 1); }},
           Case{"move between directories", 0,
                [](const Root& r) { return rename_in(r, "data/a/own", "data/b/own"); }},
           Case{"link between directories", 0,
                [](const Root& r) {
                  return ::link(r.at("data/a/own").c_str(), r.at("data/b/own").c_str());
                }},
           Case{"a symlink", 0,
                [](const Root& r) { return ::symlink("x", r.at("tmp/link").c_str()); }},
           Case{"a FIFO", 0,
                [](const Root& r) { return ::mkfifo(r.at("tmp/fifo").c_str(), 0600); }},
           Case{"make and remove a directory", 0,
                [](const Root& r) {
                  bool made = ::mkdir(r.at("data/a/d").c_str(), 0700) == 0;
                  return made ? ::rmdir(r.at("data/a/d").c_str()) : -1;
                }},
       })
    check(c, policy);
}

TEST_CASE("a pipe and a memfd are opened again through /proc") {
  // With the real root: /proc is not in the test's own.
  auto domain = LandlockDomain::create(landlock::agent_policy(offered()));
  REQUIRE(domain);
  auto reopen = [](int fd, int flags) {
    return open_for("/proc/self/fd/" + std::to_string(fd), flags);
  };
  CHECK(in_child(&*domain, [&] {
          auto pipe = make_pipe();
          return reopen(pipe->second.get(), O_WRONLY);
        }) == 0);
  CHECK(in_child(&*domain, [&] {
          UniqueFd memory(::memfd_create("test", MFD_CLOEXEC));
          return reopen(memory.get(), O_RDWR);
        }) == 0);
}

TEST_CASE("the devices of a sandbox take what is written to them") {
  auto domain = LandlockDomain::create(landlock::agent_policy(offered()));
  REQUIRE(domain);
  for (const char* device : {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"}) {
    CAPTURE(device);
    CHECK(in_child(&*domain, [&] { return open_for(device, O_RDWR | O_TRUNC); }) == 0);
  }
}

TEST_CASE("an agent signals its own processes and no other") {
  std::uint32_t abi = offered();
  if (abi < 6) SKIP("scopes need Landlock ABI 6");
  landlock::Policy policy = landlock::agent_policy(abi);
  check({"a process outside", EPERM, [](const Root&) { return ::kill(::getppid(), 0); }}, policy);
  check({"its own child", 0,
         [](const Root&) {
           pid_t child = ::fork();
           if (child == 0) {
             ::pause();
             ::_exit(0);
           }
           int sent = ::kill(child, SIGKILL);
           ::waitpid(child, nullptr, 0);
           return sent;
         }},
        policy);
}

TEST_CASE("an abstract socket of another process is out of reach") {
  std::uint32_t abi = offered();
  if (abi < 6) SKIP("scopes need Landlock ABI 6");
  sockaddr_un name = abstract_name();
  auto* address = reinterpret_cast<sockaddr*>(&name);
  UniqueFd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(server.get(), address, sizeof name) == 0);
  REQUIRE(::listen(server.get(), 8) == 0);
  auto connect = [&](const Root&) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::connect(socket.get(), address, sizeof name);
  };
  check({"connect", EPERM, connect}, landlock::agent_policy(abi));
}

TEST_CASE("loopback is its own to use") {
  check({"listen and connect", 0,
         [](const Root&) {
           UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
           sockaddr_in name{};
           name.sin_family = AF_INET;
           name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
           auto* address = reinterpret_cast<sockaddr*>(&name);
           socklen_t size = sizeof name;
           bool listens = ::bind(server.get(), address, size) == 0 &&
                          ::listen(server.get(), 1) == 0 &&
                          ::getsockname(server.get(), address, &size) == 0;
           UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
           return listens ? ::connect(client.get(), address, size) : -1;
         }},
        landlock::agent_policy(offered()));
}

TEST_CASE("where no Landlock is offered nothing is entered, and nothing pretended") {
  auto domain = LandlockDomain::create(landlock::agent_policy(0));
  REQUIRE(domain);
  CHECK(domain->abi() == 0);
  CHECK(domain->ruleset() == -1);
  CHECK(in_child(&*domain, [] { return open_for("/etc/passwd", O_RDONLY); }) == 0);
}

TEST_CASE("every ABI that this kernel knows can be entered") {
  std::uint32_t newest = offered();
  for (std::uint32_t abi = landlock::kOldestAbi; abi <= newest && abi <= landlock::kNewestAbi;
       ++abi) {
    CAPTURE(abi);
    auto domain = LandlockDomain::create(landlock::agent_policy(abi));
    REQUIRE(domain);
    CHECK(domain->abi() == abi);
    CHECK(in_child(&*domain, [] { return open_for("/etc/passwd", O_RDONLY); }) == 0);
    CHECK(in_child(&*domain, [] { return open_for("/etc/passwd", O_WRONLY); }) == EACCES);
  }
}

}  // namespace flodea::worker
