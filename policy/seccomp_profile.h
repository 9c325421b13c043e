// System-call policy as data (policy/profiles/*.json) and its compilation to a BPF filter
// (seccomp(2)). An allowlist: what no rule names is refused with EPERM. Every rule carries its
// reason. Pure: text in, filter out (libseccomp's export goes through a memfd of its own). Weakens
// isolation: every `allow`. A rule may narrow it to argument values.
//
// JSON: {"include": ["base"], "rules": [{"syscalls": ["read", …], "action": "allow" | "notify" |
// "errno:ENOSYS", "reason": "…",
//        "args": [{"index": 0–5, "op": "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "masked_eq",
//        "value": 1 | "0x10", "mask": …}]}]}
//   allow   the call happens
//   notify  refused with EPERM by the worker, and counted by name: what an honest agent does not
//   try errno:E refused quietly with E: harmless probes of libraries that have a fallback
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace flodea {

struct SeccompArg {
  enum class Op { kEq, kNe, kLt, kLe, kGt, kGe, kMaskedEq };
  unsigned index = 0;  // 0–5
  Op op = Op::kEq;
  std::uint64_t value = 0;
  std::uint64_t mask = 0;  // of kMaskedEq: (argument & mask) == value
};

struct SeccompRule {
  enum class Action { kAllow, kNotify, kErrno };
  std::vector<std::string> syscalls;
  Action action = Action::kAllow;
  int error = 0;                 // of kErrno
  std::vector<SeccompArg> args;  // all must hold
  std::string reason;
};

struct SeccompProfile {
  std::string name;
  std::vector<SeccompRule> rules;  // included profiles' first
};

// Gives the text of a profile by name, for "include".
using ProfileSource = std::function<Result<std::string>(const std::string& name)>;

// Refuses unknown keys, unknown actions, empty reasons, include depth over 4, and more than 1,000
// rules.
Result<SeccompProfile> parse_seccomp_profile(const std::string& name, std::string_view json,
                                             const ProfileSource& source);

// A system call that this architecture does not have is skipped (libseccomp resolves names); at
// most 4,096 instructions (BPF_MAXINSNS).
Result<std::vector<sock_filter>> compile(const SeccompProfile& profile);

// The name of a system call of this architecture, or "syscall_N".
std::string syscall_name(int number);

}  // namespace flodea
