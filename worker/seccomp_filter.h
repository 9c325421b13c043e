// Compiled seccomp filters as flodead hands them over: a memfd with an array of struct sock_filter
// (seccomp(2)).
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/unique_fd.h"

namespace flodea::worker {

class SeccompFilter {
 public:
  // kInvalidArgument: not a whole number of instructions, none, or more than BPF_MAXINSNS.
  static Result<SeccompFilter> read(int fd);

  // Some calls are to be reported to a listener (SECCOMP_RET_USER_NOTIF).
  bool reports() const;
  // For a kernel without listeners: what would be reported is refused with EPERM.
  void refuse_instead_of_reporting();
  std::span<const sock_filter> code() const { return code_; }

  // For the calling thread and what it starts; no_new_privs must be set. Async-signal-safe: returns
  // 0 or an errno, and with `listener` the descriptor on which refused calls are reported.
  int load(int* listener) const;

 private:
  explicit SeccompFilter(std::vector<sock_filter> code) : code_(std::move(code)) {}
  std::vector<sock_filter> code_;
};

// Whether this kernel can report refused calls.
bool kernel_reports_refused_calls();

}  // namespace flodea::worker
