// Both programs under their system-call profiles, compiled as flodead does it and loaded before
// they are executed: what they need is there, what they must not have is not.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "policy/seccomp_profile.h"
#include "tests/support/temporary_dir.h"

using namespace flodea;

namespace {

std::vector<sock_filter> filter_of(const std::string& name) {
  UniqueFd profiles(::open(FLODEA_PROFILES, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto source = [&](const std::string& profile) {
    return read_file(profiles.get(), profile + ".json", 1 << 20);
  };
  auto parsed = parse_seccomp_profile(name, source(name).value(), source);
  REQUIRE(parsed);
  auto program = compile(*parsed);
  REQUIRE(program);
  return *program;
}

struct Run {
  std::string program;
  std::vector<std::string> arguments;
  int input = -1;
  int output = -1;
};

// In the child; the program is executed by descriptor 3, as a job's is.
[[noreturn]] void become(const Run& run, std::vector<sock_filter>& filter) {
  std::vector<char*> argv{const_cast<char*>(run.program.c_str())};
  for (const std::string& argument : run.arguments)
    argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  int program = ::open(run.program.c_str(), O_RDONLY);
  ::dup2(run.input, 0);
  ::dup2(run.output, 1);
  if (program != 3)
    ::dup3(program, 3, O_CLOEXEC);
  else
    ::fcntl(3, F_SETFD, FD_CLOEXEC);
  sock_fprog loaded{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &loaded) != 0)
    ::_exit(120);
  ::syscall(SYS_execveat, 3, "", argv.data(), environment, AT_EMPTY_PATH);
  ::execve(run.program.c_str(), argv.data(), environment);
  ::_exit(121);
}

// Its exit status, or 1000 + the signal that ended it.
int run_under(const std::string& profile, const Run& run) {
  auto filter = filter_of(profile);
  pid_t child = ::fork();
  if (child == 0) become(run, filter);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

UniqueFd file(const std::string& path, int flags) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  REQUIRE(fd);
  return fd;
}

// The guest's code, made under the compiler's profile.
std::string compiled(const TemporaryDir& dir, const std::string& guest) {
  std::string code = dir.path() + "/" + guest + ".cwasm";
  UniqueFd in = file(FLODEA_GUESTS "/" + guest + ".wasm", O_RDONLY);
  UniqueFd out = file(code, O_WRONLY | O_CREAT);
  REQUIRE(run_under("wasm-compiler", {FLODEA_WASMC, {}, in.get(), out.get()}) == 0);
  return code;
}

std::string text(const std::string& path) {
  UniqueFd in = file(path, O_RDONLY);
  return read_all(in.get(), 1 << 20).value();
}

}  // namespace

TEST_CASE("the compiler compiles, and refuses, under its profile") {
  TemporaryDir dir;
  CHECK(text(compiled(dir, "ends")).size() > 1000);
  UniqueFd bad = file("/dev/null", O_RDONLY);
  CHECK(run_under("wasm-compiler", {FLODEA_WASMC, {}, bad.get(), bad.get()}) == 1);
}

TEST_CASE("a file cannot be opened under the compiler's profile, but under the host's") {
  // The same program under either: it opens the file that it is told to run.
  TemporaryDir dir;
  std::string code = compiled(dir, "ends");
  UniqueFd null = file("/dev/null", O_RDWR);
  Run run{FLODEA_WASM, {"--memory", "16777216", code, "exit", "7"}, null.get(), null.get()};
  CHECK(run_under("wasm", run) == 7);
  CHECK(run_under("wasm-compiler", run) != 7);
}

TEST_CASE("modules find all of WASI, and a trap is told, under the host's profile") {
  TemporaryDir dir;
  std::string code = compiled(dir, "wasi");
  std::string out = dir.path() + "/out";
  UniqueFd in = file(dir.path() + "/in", O_RDWR | O_CREAT);
  REQUIRE(write_all(in.get(), "in\n"));
  ::lseek(in.get(), 0, SEEK_SET);
  UniqueFd output = file(out, O_RDWR | O_CREAT);
  // Its environment is empty here, which is the one thing that it misses.
  CHECK(run_under("wasm", {FLODEA_WASM,
                           {"--memory", "16777216", code, dir.path(), "h\xc3\xa9 llo"},
                           in.get(),
                           output.get()}) != 121);
  std::string said = text(out);
  INFO(said);
  CHECK(said.find("poll_oneoff: ok") != std::string::npos);
  CHECK(said.find("path_rename, path_unlink_file: ok") != std::string::npos);
  CHECK(said.find("sched_yield: ok") != std::string::npos);
  UniqueFd null = file("/dev/null", O_RDWR);
  Run trap{FLODEA_WASM,
           {"--memory", "16777216", compiled(dir, "ends"), "abort"},
           null.get(),
           null.get()};
  CHECK(run_under("wasm", trap) == 134);
}
