// What Landlock (Documentation/userspace-api/landlock.rst) holds an agent to, as data. Pure: the
// ABI that the kernel offers is passed in. It comes on top of mounts, owners and seccomp: a hole in
// one of those does not open the files outside of what is listed here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace flodea::landlock {

// Rights and scopes by the kernel's numbers (uapi/linux/landlock.h; Debian 12's ends at ABI 2).
enum Fs : std::uint64_t {
  kExecute = 1 << 0,
  kWriteFile = 1 << 1,
  kReadFile = 1 << 2,
  kReadDir = 1 << 3,
  kRemoveDir = 1 << 4,
  kRemoveFile = 1 << 5,
  kMakeChar = 1 << 6,
  kMakeDir = 1 << 7,
  kMakeReg = 1 << 8,
  kMakeSock = 1 << 9,
  kMakeFifo = 1 << 10,
  kMakeBlock = 1 << 11,
  kMakeSym = 1 << 12,
  kRefer = 1 << 13,     // ABI 2: move between directories
  kTruncate = 1 << 14,  // ABI 3
  kIoctlDev = 1 << 15,  // ABI 5
};
enum Scope : std::uint64_t {  // ABI 6: not beyond the domain
  kAbstractUnixSocket = 1 << 0,
  kSignal = 1 << 1,
};

// ABI 1 would refuse every move between two directories, which ordinary programs make.
inline constexpr std::uint32_t kOldestAbi = 2;
// ABI 7 only adds what is logged; newer ones are taken for it.
inline constexpr std::uint32_t kNewestAbi = 7;

struct Rule {
  std::string path;       // absolute; a directory. What is not there is left out
  std::uint64_t allowed;  // beneath it, within what the policy handles
};

struct Policy {
  std::uint32_t abi = 0;  // in force: 0 is nothing
  std::uint64_t handled = 0;
  std::uint64_t scoped = 0;
  std::vector<Rule> rules;
};

// Reads and executes everywhere; writes where the sandbox gives it room, and to its devices. No
// rights of the network are handled: it has only loopback, and its own processes may use that.
Policy agent_policy(std::uint32_t offered_abi);

// What this ABI cannot hold an agent to, in words for the operator.
std::vector<std::string> gaps(std::uint32_t offered_abi);

}  // namespace flodea::landlock
