#include "supervisor/helper/volume/run_tool.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/pid_fd.h"
#include "base/unique_fd.h"

namespace flodea::volume {
namespace {

constexpr std::size_t kMaxOutput = 8192;

std::string find_tool(const std::string& name) {
  for (const char* directory : {"/usr/sbin/", "/sbin/"})
    if (std::string path = directory + name; ::access(path.c_str(), X_OK) == 0) return path;
  return {};
}

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  void dup_to(int fd, int number) { ::posix_spawn_file_actions_adddup2(&actions_, fd, number); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

Result<pid_t> spawn(const std::string& path, const std::vector<std::string>& arguments, int output,
                    int inherited_fd) {
  auto null = TRY(adopt_fd(::open("/dev/null", O_RDWR | O_CLOEXEC), "open /dev/null"));
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // No configuration of the host, but the one compiled in: the same layout everywhere.
  std::array<char*, 3> environment{const_cast<char*>("MKE2FS_CONFIG=/nonexistent"),
                                   const_cast<char*>("E2FSCK_CONFIG=/nonexistent"), nullptr};
  FileActions actions;
  actions.dup_to(null.get(), STDIN_FILENO);
  actions.dup_to(output, STDOUT_FILENO);
  actions.dup_to(output, STDERR_FILENO);
  if (inherited_fd >= 0) actions.dup_to(inherited_fd, 3);
  pid_t pid = -1;
  int error =
      ::posix_spawn(&pid, path.c_str(), actions.get(), nullptr, argv.data(), environment.data());
  if (error != 0) return fail_errno("start " + path, error);
  return pid;
}

// Until the tool has closed its end; false at the deadline.
Result<bool> drain(int from, std::string& into, Nanos until) {
  SystemClock clock;
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock.monotonic()).count();
    pollfd wait{.fd = from, .events = POLLIN, .revents = 0};
    int ready = ::poll(&wait, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail_errno("poll");
    if (ready == 0) return false;
    char buffer[4096];
    ssize_t n = ::read(from, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    into.append(buffer,
                std::min<std::size_t>(static_cast<std::size_t>(n), kMaxOutput - into.size()));
  }
}

}  // namespace

Result<ToolOutcome> run_tool(const std::string& name, const std::vector<std::string>& arguments,
                             int inherited_fd, Nanos timeout) {
  std::string path = find_tool(name);
  if (path.empty())
    return tl::unexpected(
        Error{.code = Code::kNotFound, .message = name + " is not installed"}.with_remedy(
            "install e2fsprogs"));
  SystemClock clock;
  auto pipe = TRY(make_pipe());
  pid_t pid = TRY(spawn(path, arguments, pipe.second.get(), inherited_fd));
  pipe.second.reset();
  auto process = TRY(PidFd::open(pid));
  ToolOutcome outcome{};
  bool finished = TRY(drain(pipe.first.get(), outcome.output, clock.monotonic() + timeout));
  if (!finished) TRY(process.send_signal(SIGKILL));
  ExitStatus status = TRY(process.wait());
  if (!finished) return fail(Code::kDeadlineExceeded, name + " took too long and was killed");
  if (status.signaled)
    return fail(Code::kInternal,
                name + " died by signal " + std::to_string(status.value) + ": " + outcome.output);
  outcome.exit_code = status.value;
  return outcome;
}

}  // namespace flodea::volume
