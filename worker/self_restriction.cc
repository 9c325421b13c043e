#include "worker/self_restriction.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd_layout.h"

namespace flodea::worker {
namespace fds = fd_layout::worker;
namespace {

constexpr std::uint32_t kKept = 1U << CAP_KILL | 1U << CAP_SETUID | 1U << CAP_SETGID;
constexpr int kSecureBits = SECBIT_NOROOT | SECBIT_NO_CAP_AMBIENT_RAISE | SECURE_ALL_LOCKS;

Status expect_kind(int fd, mode_t kind, const char* name) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(std::string("descriptor ") + name);
  if ((info.st_mode & S_IFMT) != kind)
    return fail(Code::kInvalidArgument, std::string("descriptor ") + name + " is of another kind");
  return {};
}

bool is_kept(int cap) { return cap < 32 && (kKept & (1U << cap)) != 0; }

// flodead may have done it; the three may be left in it, since NOROOT and no_new_privs make it
// moot.
Status empty_bounding_set() {
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap) {
    if (::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
        ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && !is_kept(cap)) {
      return fail_errno("empty the bounding set (capability " + std::to_string(cap) + ")");
    }
  }
  return {};
}

}  // namespace

Status check_surroundings() {
  if (::getpid() != 1)
    return fail(Code::kFailedPrecondition,
                "flodea-worker must be PID 1 of its own PID namespace; flodead starts it");
  TRY(expect_kind(fds::kAttach, S_IFSOCK, "attach"));
  TRY(expect_kind(fds::kAttachPeer, S_IFSOCK, "attach peer"));
  TRY(expect_kind(fds::kLogWrite, S_IFIFO, "log pipe"));
  TRY(expect_kind(fds::kLogRead, S_IFIFO, "log pipe"));
  TRY(expect_kind(fds::kStatusPage, S_IFREG, "status page"));

  TRY(expect_kind(fds::kWorkerFilter, S_IFREG, "worker filter"));
  TRY(expect_kind(fds::kAgentFilter, S_IFREG, "agent filter"));
  for (int fd = fds::kAttach; fd <= fds::kLast; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 && fd != fds::kStore)
      return fail_errno("fcntl");  // there may be no store
  }
  int flags = ::fcntl(fds::kLogWrite, F_GETFL);
  if (flags < 0 || ::fcntl(fds::kLogWrite, F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("fcntl");
  if (::syscall(SYS_close_range, fds::kLast + 1, ~0U, 0) != 0) return fail_errno("close_range");
  return {};
}

Status keep_three_capabilities() {
  TRY(empty_bounding_set());
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return fail_errno("clear ambient capabilities");
  if (::prctl(PR_GET_SECUREBITS) != kSecureBits &&
      ::prctl(PR_SET_SECUREBITS, kSecureBits, 0, 0, 0) != 0) {
    return fail_errno("lock securebits");
  }
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[2] = {{.effective = kKept, .permitted = kKept, .inheritable = 0}, {}};
  if (::syscall(SYS_capset, &header, sets) != 0)
    return fail_errno("keep CAP_KILL, CAP_SETUID and CAP_SETGID");
  return {};
}

}  // namespace flodea::worker
