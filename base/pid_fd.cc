#include "base/pid_fd.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace flodea {
namespace {

constexpr idtype_t kPidFd =
    static_cast<idtype_t>(3);  // P_PIDFD; glibc 2.36 has it, older headers do not

Result<ExitStatus> reap(int fd, int flags) {
  siginfo_t info{};
  int rc;
  do {
    rc = ::waitid(kPidFd, static_cast<id_t>(fd), &info, WEXITED | flags);
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) return errno == ECHILD ? fail_errno("waitid", ESRCH) : fail_errno("waitid");
  if (info.si_pid == 0) return fail(Code::kUnavailable, "the process still runs");
  return ExitStatus{.signaled = info.si_code != CLD_EXITED,
                    .value = info.si_status,
                    .core = info.si_code == CLD_DUMPED};
}

}  // namespace

Result<PidFd> PidFd::open(pid_t pid) {
  auto fd = TRY(adopt_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)), "pidfd_open"));
  return PidFd(std::move(fd), pid);
}

Status PidFd::send_signal(int signal) const {
  if (::syscall(SYS_pidfd_send_signal, fd_.get(), signal, nullptr, 0) != 0)
    return fail_errno("pidfd_send_signal");
  return {};
}

Result<ExitStatus> PidFd::wait() const { return reap(fd_.get(), 0); }
Result<ExitStatus> PidFd::wait_no_hang() const { return reap(fd_.get(), WNOHANG); }

Result<bool> PidFd::ended(int timeout_ms) const {
  pollfd p{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  int n;
  do {
    n = ::poll(&p, 1, timeout_ms);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return fail_errno("poll pidfd");
  return n > 0;
}

}  // namespace flodea
