#include "worker/landlock_domain.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace flodea::worker {
namespace {

// uapi/linux/landlock.h as of ABI 6. A kernel that knows less takes it while the rest is zero.
struct RulesetAttributes {
  std::uint64_t handled_fs = 0;
  std::uint64_t handled_net = 0;
  std::uint64_t scoped = 0;
};
struct __attribute__((packed)) PathBeneath {
  std::uint64_t allowed = 0;
  std::int32_t parent = -1;
};
constexpr unsigned kVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr int kPathBeneath = 1;   // LANDLOCK_RULE_PATH_BENEATH

Status add_rule(int ruleset, const landlock::Rule& rule, const std::string& root) {
  std::string path = root + rule.path;
  UniqueFd parent(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent && errno == ENOENT) return {};  // nothing there to be allowed
  if (!parent) return fail_errno("Landlock: open " + path);
  PathBeneath beneath{.allowed = rule.allowed, .parent = parent.get()};
  if (::syscall(SYS_landlock_add_rule, ruleset, kPathBeneath, &beneath, 0) != 0)
    return fail_errno("Landlock: allow " + path);
  return {};
}

}  // namespace

std::uint32_t offered_landlock_abi() {
  long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersion);
  return abi > 0 ? static_cast<std::uint32_t>(abi) : 0;
}

Result<LandlockDomain> LandlockDomain::create(const landlock::Policy& policy,
                                              const std::string& root) {
  if (policy.abi == 0) return LandlockDomain(0, UniqueFd());
  RulesetAttributes attributes{.handled_fs = policy.handled, .scoped = policy.scoped};
  long fd = ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
  auto ruleset = TRY(adopt_fd(static_cast<int>(fd), "Landlock: create a ruleset"));
  for (const landlock::Rule& rule : policy.rules) TRY(add_rule(ruleset.get(), rule, root));
  return LandlockDomain(policy.abi, std::move(ruleset));
}

int enter_landlock(int ruleset) {
  if (ruleset < 0) return 0;
  return ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : errno;
}

}  // namespace flodea::worker
