#include "worker/seccomp_filter.h"

#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

namespace flodea::worker {
namespace {

bool is_report(const sock_filter& instruction) {
  return BPF_CLASS(instruction.code) == BPF_RET &&
         (instruction.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF;
}

}  // namespace

Result<SeccompFilter> SeccompFilter::read(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno("fstat seccomp filter");
  auto size = static_cast<std::uint64_t>(info.st_size);
  if (size == 0 || size % sizeof(sock_filter) != 0 || size > BPF_MAXINSNS * sizeof(sock_filter)) {
    return fail(Code::kInvalidArgument,
                "the seccomp filter has " + std::to_string(size) + " bytes");
  }
  std::vector<sock_filter> code(size / sizeof(sock_filter));
  if (::pread(fd, code.data(), size, 0) != static_cast<ssize_t>(size))
    return fail_errno("read seccomp filter");
  return SeccompFilter(std::move(code));
}

bool SeccompFilter::reports() const { return std::ranges::any_of(code_, is_report); }

void SeccompFilter::refuse_instead_of_reporting() {
  for (auto& instruction : code_) {
    if (is_report(instruction)) instruction.k = SECCOMP_RET_ERRNO | EPERM;
  }
}

int SeccompFilter::load(int* listener) const {
  sock_fprog program{.len = static_cast<unsigned short>(code_.size()),
                     .filter = const_cast<sock_filter*>(code_.data())};
  unsigned long flags = listener != nullptr ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
  long rc = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (rc < 0) return errno;
  if (listener != nullptr) *listener = static_cast<int>(rc);
  return 0;
}

bool kernel_reports_refused_calls() {
  std::uint32_t action = SECCOMP_RET_USER_NOTIF;
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

}  // namespace flodea::worker
