#include "supervisor/vault/restrict.h"

#include <linux/close_range.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "policy/profiles/vault.h"
#include "policy/restrict_self.h"

namespace flodea::vault {
Status forbid_dumps_and_privileges() {
  rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return fail_errno("RLIMIT_CORE 0");
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return fail_errno("PR_SET_DUMPABLE 0");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("PR_SET_NO_NEW_PRIVS");
  return {};
}

Status lock_memory() {
  ::mallopt(M_ARENA_MAX, 1);  // a heap per thread would be locked too
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) return fail_errno("mlockall (needs CAP_IPC_LOCK)");
  return {};
}

Status close_from(int first) {
  if (::close_range(static_cast<unsigned>(first), ~0u, 0) != 0) return fail_errno("close_range");
  return {};
}

Status load_seccomp_filter() { return restrict_system_calls(TRY(compile(kVaultProfile))); }

}  // namespace flodea::vault
