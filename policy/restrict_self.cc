#include "policy/restrict_self.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace flodea {

Status restrict_system_calls(std::span<const sock_filter> filter) {
  sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                     .filter = const_cast<sock_filter*>(filter.data())};
  long thread =
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (thread < 0) return fail_errno("seccomp");
  if (thread > 0)
    return fail(Code::kInternal,
                "seccomp: thread " + std::to_string(thread) + " cannot be restricted");
  return {};
}

}  // namespace flodea
