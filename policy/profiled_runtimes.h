// The runtimes a host may have: their name, which is also that of their system-call profile, the
// program that proves one is there, and the oldest version of it that will do. Data only: flodead
// looks for them, control compares versions, runtimes/ launches them.
#pragma once

#include <string_view>

namespace flodea {

struct ProfiledRuntime {
  std::string_view name;             // spec.runtime.type, policy/profiles/<name>.json
  const char* executable;            // in the sandbox; on the host too, but below kAgentTree
  std::string_view minimum_version;  // "3.11": compared number by number
};

inline constexpr ProfiledRuntime kPython{"python", "/usr/bin/python3", "3.11"};
inline constexpr ProfiledRuntime kJavascript{"javascript", "/usr/bin/node", "18"};
// flodea-wasm is Flodea's own, in the tree that agents see.
inline constexpr ProfiledRuntime kWasm{"wasm", "/opt/flodea/bin/flodea-wasm", "48"};
inline constexpr ProfiledRuntime kProfiledRuntimes[] = {kPython, kJavascript, kWasm};

// Where the sandbox shows what Flodea brings its agents: `agent` beside its programs on the host.
inline constexpr std::string_view kAgentTree = "/opt/flodea/";

}  // namespace flodea
