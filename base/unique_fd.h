// The one owner of a file descriptor. The only place (with pid_fd.h) where descriptors are closed.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/result.h"

namespace flodea {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);
  }

  // A second descriptor of the same open file description, close-on-exec.
  Result<UniqueFd> duplicate() const;

 private:
  int fd_ = -1;
};

// Takes what a system call returned: a descriptor, or -1 with errno set.
Result<UniqueFd> adopt_fd(int returned, std::string_view what,
                          std::source_location where = std::source_location::current());

struct FdPair {
  UniqueFd first;
  UniqueFd second;
};
// Both ends close-on-exec; `type` is SOCK_STREAM or SOCK_SEQPACKET, with SOCK_NONBLOCK if wanted.
Result<FdPair> make_socketpair(int type);
// first reads, second writes; `flags` as pipe2(2), O_CLOEXEC is added.
Result<FdPair> make_pipe(int flags = 0);

}  // namespace flodea
