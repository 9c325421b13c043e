#include "supervisor/helper/runtimes.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/safe_path.h"
#include "base/unique_fd.h"

namespace flodea::helper {
namespace {

constexpr std::size_t kOutputLimit = 4096;

Result<std::string> first_output(const std::string& executable) {
  auto pipe = TRY(make_pipe());
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe.second.get(), STDOUT_FILENO);
  char* argv[] = {const_cast<char*>(executable.c_str()), const_cast<char*>("--version"), nullptr};
  char* envp[] = {nullptr};
  pid_t pid = -1;
  int error = ::posix_spawn(&pid, executable.c_str(), &actions, nullptr, argv, envp);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail_errno("run " + executable, error);
  pipe.second.reset();
  auto output = read_all(pipe.first.get(), kOutputLimit);
  ::waitpid(pid, nullptr, 0);
  return output;
}

}  // namespace

std::string runtime_version(const std::string& executable) {
  auto output = first_output(executable);
  if (!output) return "";
  std::string line = output->substr(0, output->find('\n'));
  std::string version = line.substr(line.rfind(' ') + 1);
  return version.starts_with('v') ? version.substr(1) : version;  // node's
}

}  // namespace flodea::helper
