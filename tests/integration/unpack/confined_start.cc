// confined_start PROFILE ROOT DIRECTORY PROGRAM ARGUMENTS…: the program under a seccomp profile, as
// nobody, in an environment and a root that hold nothing but what is below ROOT. Wants root.
// With PROFILE "-" there is none; in place of PROGRAM, "try" has a list of system calls tried, in a
// directory with a file "victim": each with its errno on a line.
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/safe_path.h"
#include "policy/restrict_self.h"
#include "policy/seccomp_profile.h"

namespace {

using flodea::Result;

constexpr unsigned kNobody = 65534;
constexpr int kProgramFd = 3;  // as the profile has it

Result<std::vector<sock_filter>> filter_of(const std::string& name) {
  auto directory = TRY(flodea::adopt_fd(::open(FLODEA_PROFILES, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                        "open " FLODEA_PROFILES));
  auto source = [&](const std::string& profile) {
    return flodea::read_file(directory.get(), profile + ".json", 1 << 20);
  };
  std::string text = TRY(source(name));
  return flodea::compile(TRY(flodea::parse_seccomp_profile(name, text, source)));
}

void told(const char* name, long result) {
  ::dprintf(STDOUT_FILENO, "%s %d\n", name, result < 0 ? errno : 0);
}

void try_calls() {
  told("socket", ::socket(AF_INET, SOCK_STREAM, 0));
  told("signal", ::kill(::getpid(), 0));
  told("create", ::open("made", O_WRONLY | O_CREAT, 0600));
  told("append", ::open("victim", O_WRONLY | O_APPEND));
  told("symlink", ::symlink("x", "link"));
  told("chmod", ::chmod("victim", 0600));
  told("unlink", ::unlink("victim"));
  pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  told("fork", child);
}

flodea::Status become(char** words) {
  std::string profile = words[0], what = words[3];
  std::vector<sock_filter> filter;
  if (profile != "-") filter = TRY(filter_of(profile));
  flodea::UniqueFd program;
  if (what != "try") program = TRY(flodea::adopt_fd(::open(words[3], O_PATH | O_CLOEXEC), what));
  if (::chroot(words[1]) != 0 || ::chdir(words[2]) != 0) return flodea::fail_errno("chroot");
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
      ::setresuid(kNobody, kNobody, kNobody) != 0)
    return flodea::fail_errno("become nobody");
  TRY(flodea::forbid_dumps_and_privileges());
  if (program && program.get() != kProgramFd &&
      ::dup3(program.get(), kProgramFd, O_CLOEXEC) != kProgramFd)
    return flodea::fail_errno("dup3");
  if (!filter.empty()) TRY(flodea::restrict_system_calls(filter));
  if (!program) {
    try_calls();
    ::_exit(0);
  }
  char* none[] = {nullptr};
  ::execveat(kProgramFd, "", words + 3, none, AT_EMPTY_PATH);
  return flodea::fail_errno("execveat");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 125;
  auto failed = become(argv + 1);
  ::fprintf(stderr, "confined_start: %s\n", failed.error().describe().c_str());
  return 125;
}
