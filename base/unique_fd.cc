#include "base/unique_fd.h"

#include <fcntl.h>
#include <sys/socket.h>

namespace flodea {

Result<UniqueFd> UniqueFd::duplicate() const {
  return adopt_fd(::fcntl(fd_, F_DUPFD_CLOEXEC, 3), "fcntl(F_DUPFD_CLOEXEC)");
}

Result<UniqueFd> adopt_fd(int returned, std::string_view what, std::source_location where) {
  if (returned < 0) return fail_errno(what, where);
  return UniqueFd(returned);
}

Result<FdPair> make_socketpair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return fail_errno("socketpair");
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<FdPair> make_pipe(int flags) {
  int fds[2];
  if (::pipe2(fds, flags | O_CLOEXEC) != 0) return fail_errno("pipe2");
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace flodea
