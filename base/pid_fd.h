// A process by descriptor (pidfd_open(2)): never waits for or signals a recycled pid.
#pragma once

#include <sys/types.h>

#include "base/unique_fd.h"

namespace flodea {

// How a process ended. Exactly one of `exited` and `signaled` holds.
struct ExitStatus {
  bool signaled = false;
  int value = 0;  // exit code 0–255, or signal number
  bool core = false;
  bool success() const { return !signaled && value == 0; }
};

class PidFd {
 public:
  PidFd() = default;
  PidFd(UniqueFd fd, pid_t pid) : fd_(std::move(fd)), pid_(pid) {}
  static Result<PidFd> open(pid_t pid);

  int get() const { return fd_.get(); }
  bool valid() const { return fd_.valid(); }
  pid_t pid() const { return pid_; }  // for /proc and messages only

  Status send_signal(int signal) const;
  // Reaps a child. Blocks unless `no_hang`; kUnavailable when it still runs, kNotFound when it is
  // no child of ours.
  Result<ExitStatus> wait() const;
  Result<ExitStatus> wait_no_hang() const;
  // True once the process has ended (reaped or not). Waits up to `timeout_ms` (-1: for ever).
  Result<bool> ended(int timeout_ms) const;

 private:
  UniqueFd fd_;
  pid_t pid_ = -1;
};

}  // namespace flodea
