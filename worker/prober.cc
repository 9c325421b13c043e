#include "worker/prober.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace flodea::worker {
namespace {

constexpr std::int64_t kNever = INT64_MAX;
constexpr int kDrainReads = 16;  // of what is left in a pipe: the end of 64 KiB
constexpr int kNotFound = 127, kNotExecutable = 126;  // as shells say it

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void close_one(int& fd) {
  if (fd >= 0) ::syscall(SYS_close_range, fd, fd, 0);
  fd = -1;
}

void say(const char* text) {
  [[maybe_unused]] ssize_t n = ::write(STDERR_FILENO, text, std::strlen(text));
}

[[noreturn]] void become_probe(const ProberCommand& command, char* const* envp, int output) {
  bool ok = ::setsid() >= 0 && ::dup3(output, STDOUT_FILENO, 0) >= 0 &&
            ::dup3(output, STDERR_FILENO, 0) >= 0 && ::syscall(SYS_close_range, 3, ~0U, 0) == 0;
  int error = ok ? ENOENT : errno;
  for (auto path = command.candidates; ok && *path != nullptr; ++path) {
    ::execve(*path, command.argv, envp);
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
  }
  const char* why = ::strerrordesc_np(error);
  say("cannot execute ");
  say(command.argv[0]);
  say(": ");
  say(why != nullptr ? why : "unknown error");
  ::_exit(error == ENOENT ? kNotFound : kNotExecutable);
}

// One run of one probe.
class Run {
 public:
  bool active() const { return pid_ > 0; }
  int process() const { return process_; }
  int output() const { return output_; }
  std::int64_t deadline() const { return deadline_; }

  // False: answered at once, for want of a process or a pipe.
  bool begin(const ProberCommand& command, char* const* envp, const ProbeRequest& request) {
    answer_ = {};
    answer_.probe = request.probe;
    answer_.run = request.run;
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) return not_run();
    process_ = -1;
    pid_ = static_cast<pid_t>(
        ::syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, nullptr, &process_, nullptr, 0));
    if (pid_ == 0) become_probe(command, envp, pipe[1]);
    int error = errno;
    close_one(pipe[1]);
    output_ = pipe[0];
    if (pid_ < 0) {
      close_one(output_);
      return errno = error, not_run();
    }
    deadline_ = now_ns() + command.timeout_ns;
    return true;
  }

  // With all of its process group, which is not given to another before it is reaped.
  void time_out() {
    answer_.outcome = ProbeOutcome::kTimedOut;
    deadline_ = kNever;
    end_group();
  }

  void read_output() {
    char chunk[4096];
    ssize_t n = ::read(output_, chunk, sizeof chunk);
    if (n <= 0) return close_one(output_);
    keep(chunk, static_cast<std::size_t>(n));
  }

  // True: it has ended, and `answer` is whole.
  bool finish() {
    end_group();  // what it left behind
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(process_), &info, WEXITED | WNOHANG) != 0 ||
        info.si_pid == 0)
      return false;
    drain();
    close_one(output_);
    close_one(process_);
    pid_ = 0;
    if (answer_.outcome == ProbeOutcome::kTimedOut) return true;
    bool exited = info.si_code == CLD_EXITED;
    answer_.value = static_cast<std::uint32_t>(info.si_status);
    answer_.outcome = !exited              ? ProbeOutcome::kSignaled
                      : answer_.value == 0 ? ProbeOutcome::kSucceeded
                                           : ProbeOutcome::kExited;
    return true;
  }

  const ProbeAnswer& answer() const { return answer_; }

 private:
  bool not_run() {
    answer_.outcome = ProbeOutcome::kNotRun;
    answer_.value = static_cast<std::uint32_t>(errno);
    pid_ = 0;
    return false;
  }

  // It may not have made its group yet.
  void end_group() {
    ::kill(-pid_, SIGKILL);
    if (answer_.outcome == ProbeOutcome::kTimedOut) ::kill(pid_, SIGKILL);
  }

  // Another process may hold the pipe open: no more than is there.
  void drain() {
    for (int i = 0; i < kDrainReads && output_ >= 0; ++i) {
      pollfd there{.fd = output_, .events = POLLIN, .revents = 0};
      if (::poll(&there, 1, 0) <= 0) return;
      read_output();
    }
  }

  void keep(const char* bytes, std::size_t size) {
    if (size > kProbeOutput) bytes += size - kProbeOutput, size = kProbeOutput;
    std::size_t old = std::min<std::size_t>(answer_.output_bytes, kProbeOutput - size);
    std::memmove(answer_.output, answer_.output + answer_.output_bytes - old, old);
    std::memcpy(answer_.output + old, bytes, size);
    answer_.output_bytes = static_cast<std::uint32_t>(old + size);
  }

  pid_t pid_ = 0;
  int process_ = -1;  // pidfd
  int output_ = -1;
  std::int64_t deadline_ = kNever;
  ProbeAnswer answer_{};
};

class Prober {
 public:
  Prober(const ProberPlan& plan, int socket) : plan_(plan), socket_(socket) {}

  [[noreturn]] void serve() {
    for (;;) {
      std::array<pollfd, 1 + 2 * kProbeKinds> watched;
      watched[0] = {.fd = socket_, .events = POLLIN, .revents = 0};
      for (std::size_t i = 0; i < kProbeKinds; ++i) {
        bool active = runs_[i].active();
        watched[1 + 2 * i] = {
            .fd = active ? runs_[i].process() : -1, .events = POLLIN, .revents = 0};
        watched[2 + 2 * i] = {
            .fd = active ? runs_[i].output() : -1, .events = POLLIN, .revents = 0};
      }
      if (::poll(watched.data(), watched.size(), wait_ms()) < 0 && errno != EINTR) ::_exit(1);
      if (watched[0].revents != 0) take_request();
      for (std::size_t i = 0; i < kProbeKinds; ++i)
        turn(runs_[i], watched[1 + 2 * i].revents != 0, watched[2 + 2 * i].revents != 0);
    }
  }

 private:
  int wait_ms() const {
    std::int64_t next = kNever;
    for (const Run& run : runs_)
      if (run.active()) next = std::min(next, run.deadline());
    if (next == kNever) return -1;
    std::int64_t left = (next - now_ns() + 999'999) / 1'000'000;
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
  }

  void take_request() {
    ProbeRequest request;
    ssize_t n = ::recv(socket_, &request, sizeof request, 0);
    if (n < 0 && errno == EINTR) return;
    if (n != sizeof request || request.probe >= kProbeKinds) end();
    const ProberCommand& command = plan_.commands[request.probe];
    Run& run = runs_[request.probe];
    if (command.argv == nullptr || run.active()) end();
    if (!run.begin(command, plan_.envp, request)) send(run);
  }

  void turn(Run& run, bool ended, bool printed) {
    if (!run.active()) return;
    if (printed && run.output() >= 0) run.read_output();
    if (now_ns() >= run.deadline()) run.time_out();
    if (ended && run.finish()) send(run);
  }

  void send(const Run& run) {
    const ProbeAnswer& answer = run.answer();
    if (::send(socket_, &answer, sizeof answer, MSG_NOSIGNAL) < 0) end();
  }

  [[noreturn]] void end() {
    for (Run& run : runs_)
      if (run.active()) run.time_out();
    ::_exit(0);
  }

  const ProberPlan& plan_;
  int socket_;
  std::array<Run, kProbeKinds> runs_;
};

}  // namespace

void run_prober(const ProberPlan& plan, int socket) {
  ::prctl(PR_SET_NAME, "flodea-prober", 0, 0, 0);
  // In place of the agent's, but for /dev/null; `socket` has a higher number than all of them.
  constexpr int kSocket = 3;
  bool ok = ::dup3(0, 1, 0) >= 0 && ::dup3(0, 2, 0) >= 0 &&
            ::dup3(socket, kSocket, O_CLOEXEC) >= 0 &&
            ::syscall(SYS_close_range, kSocket + 1, ~0U, 0) == 0 && ::setsid() >= 0;
  if (!ok) ::_exit(1);
  Prober(plan, kSocket).serve();
}

}  // namespace flodea::worker
