// The runtimes a host may have: their name, which is also that of their system-call profile, and
// the program that proves one is there. Data only: flodead looks for them, runtimes/ launches them.
#pragma once

#include <string_view>

namespace flodea {

struct ProfiledRuntime {
  std::string_view name;   // spec.runtime.type, policy/profiles/<name>.json
  const char* executable;  // the same path on the host and in the sandbox
};

inline constexpr ProfiledRuntime kPython{"python", "/usr/bin/python3"};
inline constexpr ProfiledRuntime kProfiledRuntimes[] = {kPython};

}  // namespace flodea
