// A runtime is one row of a table (runtimes/table.cc): how control checks an agent of its type and
// what the worker has to exec for it. Rows are pure: no I/O of their own, no protobuf, callable
// from any thread. Paths in a LaunchPlan are the sandbox's. Isolation: the plan decides only what
// runs as the agent; nothing in it can widen the sandbox (policy/profiles/<type>.json does that).
// docs/adding_a_runtime.md says what else belongs to a runtime.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/agent_spec.h"

namespace flodea {

// What the worker execs as the agent.
struct LaunchPlan {
  std::string executable;
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // KEY=VALUE; the worker adds FLODEA_FD
  std::string cwd;
  std::uint32_t uid = 1000;
  std::uint32_t gid = 1000;
};

// What Flodea makes of a bundle before an agent on it can start, and shows above it: the output of
// one of its programs, run in a sandbox of its own (proto/flodea/root/v1, RunJob).
struct LayerRecipe {
  std::string program;
  std::vector<std::string> arguments;
  std::string input;    // the file of the bundle that is all it reads; empty: any of them
  std::string output;   // its output is this one file of /app, authenticated; empty: it is a tree
  std::string version;  // of what will use it: for another one it is made anew
  std::string field;    // of the manifest, that an error is about
  std::uint64_t input_limit = 0;  // bytes; 0: the bundle's own
  // Of its sandbox: memory_bytes, and as many times the size of what it reads; with its output.
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_per_byte = 0;
  std::uint32_t seconds = 0;
  std::uint64_t output_bytes = 0;
};

enum class ReadyWhen { kExecuted, kAgentSays };

// How an engine ends by itself when its memory does not suffice, before the kernel has to kill it.
// A signal alone would also be a program's own abort(), so the memory it had used counts too.
struct OutOfMemorySign {
  int signal = 0;              // 0: it has no such signal
  int exit_code = -1;          // that no agent can end with; -1: it has none
  std::uint32_t permille = 0;  // of its memory limit that was in use at the peak, at least
  std::string_view said;       // what it has then written to its log
};

struct Runtime {
  std::string_view type;         // spec.runtime.type
  std::string_view engine;       // spec.runtime.engine, its only value; empty: the type has none
  std::uint64_t minimum_memory;  // bytes of spec.resources.memory below which it cannot start
  Status (*validate)(const AgentSpec& spec);  // error.field names what is wrong
  // The first is shown on top. `version`: of the runtime, as this host has it.
  std::vector<LayerRecipe> (*layers)(const AgentSpec& spec, std::string_view version);
  LaunchPlan (*launch_plan)(const AgentManifest& manifest);
  ReadyWhen (*ready)(const AgentSpec& spec);
  OutOfMemorySign out_of_memory = {};
};

// The packages that spec.runtime.packages locks, unpacked (docs/packages.md). `unpacker`: its words
// before the lock file.
std::vector<LayerRecipe> package_layers(const AgentSpec& spec, std::string_view version,
                                        std::vector<std::string> unpacker);

// How rows refuse a manifest: kInvalidArgument with the field at fault and what to do.
tl::unexpected<Error> refuse_manifest(std::string_view field, std::string message,
                                      std::string_view remedy);

std::span<const Runtime> runtimes();
// kInvalidArgument, field spec.runtime.type, naming those that exist.
Result<const Runtime*> find_runtime(std::string_view type);

// The runtime exists, and its row takes the manifest. What holds for every runtime is checked where
// it is read: environment and memory with the manifest (supervisor/control/operators/spec_codec),
// the entry point's existence with the bundle (bundle_store).
Status validate_runtime(const AgentSpec& spec);

// The variables every runtime sets, then the manifest's (checked when it was read), which may
// override all but FLODEA_*.
std::vector<std::string> common_environment(const AgentManifest& manifest,
                                            std::vector<std::string> of_runtime);

}  // namespace flodea
