#include "supervisor/vault/self_restriction.h"

#include <linux/close_range.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/profiles/vault.h"
#include "policy/restrict_self.h"

namespace flodea::vault {

Status lock_memory() {
  ::mallopt(M_ARENA_MAX, 1);  // a heap per thread would be locked too
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) return fail_errno("mlockall (needs CAP_IPC_LOCK)");
  return {};
}

Status close_from(int first) {
  if (::close_range(static_cast<unsigned>(first), ~0u, 0) != 0) return fail_errno("close_range");
  return {};
}

Status restrict_self() { return restrict_system_calls(TRY(compile(kVaultProfile))); }

}  // namespace flodea::vault
