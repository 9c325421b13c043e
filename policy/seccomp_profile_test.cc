#include "policy/seccomp_profile.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

#include "policy/profiles/control.h"
#include "policy/profiles/vault.h"
#include "tests/support/temporary_dir.h"

namespace flodea {
namespace {

Result<std::string> from_tree(const std::string& name) {
  std::ifstream file(std::string(FLODEA_PROFILES) + "/" + name + ".json");
  if (!file) return fail(Code::kNotFound, "no profile " + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<SeccompProfile> parse(std::string_view json) {
  return parse_seccomp_profile("test", json, from_tree);
}

std::vector<sock_filter> filter_of(const std::string& name) {
  auto profile = parse_seccomp_profile(name, from_tree(name).value(), from_tree);
  REQUIRE(profile);
  auto filter = compile(*profile);
  INFO((filter ? std::string() : filter.error().describe()));
  REQUIRE(filter);
  return *filter;
}

// What errno `attempt` ends with in a child under `filter` (none: without one); 0 when it succeeds.
template <class F>
int errno_under(const std::vector<sock_filter>* filter, F attempt) {
  pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (filter != nullptr) {
      sock_fprog program{.len = static_cast<unsigned short>(filter->size()),
                         .filter = const_cast<sock_filter*>(filter->data())};
      if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) ::_exit(255);
    }
    errno = 0;
    ::_exit(attempt() >= 0 ? 0 : errno);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("a rule without a reason is refused") {
  auto profile = parse(R"({"rules":[{"syscalls":["read"],"action":"allow"}]})");
  REQUIRE_FALSE(profile);
  CHECK(profile.error().message.find("reason") != std::string::npos);
}

TEST_CASE("unknown keys, actions, numbers and system calls are refused") {
  CHECK_FALSE(parse(R"({"rulez":[]})"));
  CHECK_FALSE(
      parse(R"({"rules":[{"syscalls":["read"],"action":"maybe","reason":"because it is so"}]})"));
  CHECK_FALSE(parse(
      R"({"rules":[{"syscalls":["read"],"action":"allow","reason":"because it is so","args":[{"index":9,"op":"eq","value":1}]}]})"));
  CHECK_FALSE(parse("{"));
  auto profile =
      parse(R"({"rules":[{"syscalls":["raed"],"action":"allow","reason":"because it is so"}]})");
  REQUIRE(profile);
  CHECK_FALSE(compile(*profile));
}

TEST_CASE("a profile that includes itself is refused") {
  ProfileSource loop = [](const std::string&) -> Result<std::string> {
    return R"({"include":["loop"]})";
  };
  CHECK_FALSE(parse_seccomp_profile("loop", R"({"include":["loop"]})", loop));
}

TEST_CASE("the agents' profiles refuse what would succeed without them") {
  struct Attempt {
    const char* what;
    long (*call)();
    bool works_without;  // as root in this test
  };
  const Attempt attempts[] = {
      {"unshare(CLONE_NEWUSER)", [] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }, true},
      {"clone(CLONE_NEWNET)",
       [] { return ::syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, nullptr, nullptr, nullptr, 0L); },
       true},
      {"socket(AF_UNIX)", [] { return static_cast<long>(::socket(AF_UNIX, SOCK_STREAM, 0)); },
       true},
      {"socket(AF_NETLINK)", [] { return static_cast<long>(::socket(AF_NETLINK, SOCK_RAW, 0)); },
       true},
      {"socket(AF_INET, SOCK_RAW)",
       [] { return static_cast<long>(::socket(AF_INET, SOCK_RAW, 1)); }, true},
      {"keyctl", [] { return ::syscall(SYS_keyctl, 0L, -3L, 1L); }, true},
      {"io_uring_setup",
       [] {
         char params[256] = {};
         return ::syscall(SYS_io_uring_setup, 1L, params);
       },
       true},
      {"ptrace(PTRACE_TRACEME)", [] { return ::syscall(SYS_ptrace, 0L, 0L, 0L, 0L); }, true},
      {"personality", [] { return ::syscall(SYS_personality, 0xffffffffL); }, true},
      {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, 1L); }, true},
      {"setuid", [] { return ::syscall(SYS_setuid, 65534L); }, true},
      {"mknod of a device",
       [] {
         return ::syscall(SYS_mknodat, AT_FDCWD, "/tmp/flodea-policy-null", 0x2000 | 0600, 0x103);
       },
       true},
  };
  for (const char* name : {"base", "python", "javascript"}) {
    auto filter = filter_of(name);
    for (const Attempt& attempt : attempts) {
      CAPTURE(name, attempt.what);
      if (attempt.works_without) CHECK(errno_under(nullptr, attempt.call) == 0);
      ::unlink("/tmp/flodea-policy-null");
      // Without a listener, USER_NOTIF reads as ENOSYS; in a sandbox the worker answers EPERM.
      int got = errno_under(&filter, attempt.call);
      CHECK((got == EPERM || got == ENOSYS));
    }
  }
}

TEST_CASE("Flodea's own profiles compile, start no process and make no namespace") {
  for (const char* name : {"control", "vault", "worker"}) {
    CAPTURE(name);
    auto filter = filter_of(name);
    auto make_process = [] { return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0L); };
    CHECK(errno_under(nullptr, make_process) == 0);
    CHECK(errno_under(&filter, make_process) == EPERM);
    CHECK(errno_under(&filter, [] {
            return static_cast<long>(::execl("/bin/true", "true", nullptr));
          }) == EPERM);
    CHECK(errno_under(&filter, [] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }) == EPERM);
  }
}

namespace {

struct FileAttempt {
  const char* what;
  long (*call)();
};

// Each works on what `prepare_files` leaves in the working directory.
const FileAttempt kReading[] = {
    {"openat", [] { return ::syscall(SYS_openat, AT_FDCWD, "file", O_RDONLY); }},
    {"openat2",
     [] {
       open_how how{.flags = O_RDONLY, .mode = 0, .resolve = 0};
       return ::syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how);
     }},
    {"newfstatat",
     [] {
       struct stat info;
       return ::syscall(SYS_newfstatat, AT_FDCWD, "file", &info, 0);
     }},
};
const FileAttempt kChanging[] = {
    {"openat to create",
     [] { return ::syscall(SYS_openat, AT_FDCWD, "new", O_WRONLY | O_CREAT, 0600); }},
    {"mkdirat", [] { return ::syscall(SYS_mkdirat, AT_FDCWD, "directory", 0700); }},
    {"unlinkat", [] { return ::syscall(SYS_unlinkat, AT_FDCWD, "file", 0); }},
    {"renameat", [] { return ::syscall(SYS_renameat, AT_FDCWD, "file", AT_FDCWD, "renamed"); }},
};
const FileAttempt kGivingAway[] = {
    {"chmod", [] { return ::syscall(SYS_chmod, "file", 0777); }},
    {"chown", [] { return ::syscall(SYS_chown, "file", 0, 0); }},
    {"fchownat", [] { return ::syscall(SYS_fchownat, AT_FDCWD, "file", 0, 0, 0); }},
    {"link", [] { return ::syscall(SYS_link, "file", "linked"); }},
    {"symlink", [] { return ::syscall(SYS_symlink, "file", "pointer"); }},
    {"chdir", [] { return ::syscall(SYS_chdir, "/"); }},
};

// A fresh directory with one file, and the attempt within it; the errno, 0: it succeeded.
int errno_on_files(const std::vector<sock_filter>* filter, const FileAttempt& attempt) {
  TemporaryDir directory;
  std::ofstream(directory / "file") << "content";
  std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  int got = errno_under(filter, attempt.call);
  std::filesystem::current_path(before);
  return got;
}

void check_refused(const char* profile, std::span<const FileAttempt> attempts) {
  auto filter = filter_of(profile);
  for (const FileAttempt& attempt : attempts) {
    CAPTURE(profile, attempt.what);
    CHECK(errno_on_files(nullptr, attempt) == 0);
    CHECK(errno_on_files(&filter, attempt) == EPERM);
  }
}

void check_allowed(const char* profile, std::span<const FileAttempt> attempts) {
  auto filter = filter_of(profile);
  for (const FileAttempt& attempt : attempts) {
    CAPTURE(profile, attempt.what);
    CHECK(errno_on_files(&filter, attempt) == 0);
  }
}

}  // namespace

TEST_CASE("a worker reaches no file by name, and no network") {
  check_refused("worker", kReading);
  check_refused("worker", kChanging);
  check_refused("worker", kGivingAway);
  auto filter = filter_of("worker");
  for (int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {
    static int wanted;
    wanted = family;
    auto make = [] { return static_cast<long>(::socket(wanted, SOCK_DGRAM, 0)); };
    CHECK(errno_under(nullptr, make) == 0);
    CHECK(errno_under(&filter, make) == EPERM);
  }
}

TEST_CASE("control keeps files, gives none to others, makes no link and listens nowhere new") {
  check_allowed("control", kReading);
  check_allowed("control", kChanging);
  check_refused("control", kGivingAway);
  auto filter = filter_of("control");
  auto listen = [] {
    int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    return static_cast<long>(socket < 0 ? socket : ::listen(socket, 1));
  };
  CHECK(errno_under(nullptr, listen) == 0);
  CHECK(errno_under(&filter, listen) == EPERM);
}

TEST_CASE("agents do with their files as they like") {
  check_allowed("python", kReading);
  check_allowed("python", kChanging);
  check_allowed("python", kGivingAway);
}

TEST_CASE("what is built into a program is the profile of the tree") {
  auto same = [](const std::vector<sock_filter>& a, const std::vector<sock_filter>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
  };
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these add to it
  CHECK(same(compile(kControlProfile).value(), filter_of("control")));
  CHECK(same(compile(kVaultProfile).value(), filter_of("vault")));
#endif
  CHECK_FALSE(same(compile(kVaultProfile).value(), compile(kControlProfile).value()));
}

TEST_CASE("system calls have the kernel's names, unknown ones their number") {
  CHECK(syscall_name(SYS_personality) == "personality");
  CHECK(syscall_name(600) == "syscall_600");
}

TEST_CASE("an include that is not built in is refused") {
  const EmbeddedProfile lonely[] = {{"lonely", R"({"include":["common"],"rules":[]})"}};
  CHECK(compile(lonely).error().code == Code::kNotFound);
  CHECK_FALSE(compile(std::span<const EmbeddedProfile>()));
}

TEST_CASE("the agents' profiles allow what programs live on") {
  auto filter = filter_of("python");
  CHECK(errno_under(&filter, [] {
          return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0L);
        }) == 0);
  CHECK(errno_under(&filter, [] {
          int p[2];
          return static_cast<long>(::socketpair(AF_UNIX, SOCK_STREAM, 0, p));
        }) == 0);
  CHECK(errno_under(&filter, [] {
          return static_cast<long>(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        }) == 0);
  CHECK(errno_under(&filter, [] { return ::syscall(SYS_clone3, nullptr, 0L); }) == ENOSYS);
  ::unlink("/tmp/flodea-policy-fifo");
  CHECK(errno_under(&filter, [] {
          return ::syscall(SYS_mknodat, AT_FDCWD, "/tmp/flodea-policy-fifo", 0x1000 | 0600, 0);
        }) == 0);
  ::unlink("/tmp/flodea-policy-fifo");
  CHECK(errno_under(&filter, [] { return ::syscall(SYS_prlimit64, 0L, 7L, nullptr, nullptr); }) ==
        0);
}

}  // namespace flodea
