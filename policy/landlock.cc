#include "policy/landlock.h"

#include <algorithm>

namespace flodea::landlock {
namespace {

constexpr std::uint64_t kRead = kExecute | kReadFile | kReadDir;
// Sockets and device nodes are made nowhere: no program of an agent needs one.
constexpr std::uint64_t kWrite = kWriteFile | kRemoveDir | kRemoveFile | kMakeDir | kMakeReg |
                                 kMakeFifo | kMakeSym | kRefer | kTruncate;
constexpr std::uint64_t kDevices = kWriteFile | kTruncate | kIoctlDev;

// What the sandbox mounts writable, or gives the agent's uid (supervisor/root/stage.cc).
constexpr const char* kWritable[] = {"/data", "/tmp", "/dev/shm"};

std::uint32_t usable(std::uint32_t offered) {
  return offered < kOldestAbi ? 0 : std::min(offered, kNewestAbi);
}

std::uint64_t handled_by(std::uint32_t abi) {
  std::uint64_t rights = kRead | kWrite | kMakeSock | kMakeChar | kMakeBlock;
  rights &= ~std::uint64_t{kTruncate};
  if (abi >= 3) rights |= kTruncate;
  if (abi >= 5) rights |= kIoctlDev;
  return rights;
}

}  // namespace

Policy agent_policy(std::uint32_t offered_abi) {
  std::uint32_t abi = usable(offered_abi);
  if (abi == 0) return {};
  Policy policy{.abi = abi,
                .handled = handled_by(abi),
                .scoped = abi >= 6 ? kAbstractUnixSocket | kSignal : 0,
                .rules = {}};
  auto allow = [&policy](const char* path, std::uint64_t rights) {
    policy.rules.push_back({path, rights & policy.handled});
  };
  allow("/", kRead);
  allow("/dev", kDevices);
  for (const char* path : kWritable) allow(path, kWrite);
  return policy;
}

std::vector<std::string> gaps(std::uint32_t offered_abi) {
  if (offered_abi == 0) return {};  // flodead says so
  std::uint32_t abi = usable(offered_abi);
  if (abi == 0) return {"Landlock (ABI 1 would refuse every move between directories)"};
  std::vector<std::string> gaps;
  auto from = [&](std::uint32_t first, const char* what) {
    if (abi < first) gaps.push_back(what + (" (Landlock ABI " + std::to_string(first) + ")"));
  };
  from(3, "truncation outside the agent's own directories");
  from(5, "ioctls on devices");
  from(6, "signals and abstract sockets beyond the agent's own processes");
  return gaps;
}

}  // namespace flodea::landlock
