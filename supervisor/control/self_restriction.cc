#include "supervisor/control/self_restriction.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include "policy/profiles/control.h"
#include "policy/restrict_self.h"

namespace flodea::control {

Status forbid_dumps_and_privileges() {
  rlimit none{.rlim_cur = 0, .rlim_max = 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return fail_errno("RLIMIT_CORE 0");
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return fail_errno("PR_SET_DUMPABLE 0");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("PR_SET_NO_NEW_PRIVS");
  return {};
}

Status restrict_self() { return restrict_system_calls(TRY(compile(kControlProfile))); }

}  // namespace flodea::control
