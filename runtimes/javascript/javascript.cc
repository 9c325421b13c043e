#include "runtimes/javascript/javascript.h"

#include <algorithm>
#include <array>
#include <bit>
#include <csignal>

#include "policy/profiled_runtimes.h"

namespace flodea {
namespace {

// Measured: node with the SDK, http and crypto holds 12 MiB of its own, and the first agent after a
// boot is charged for 40 of its program. It starts with 32, but with 5 for the agent's objects.
constexpr std::uint64_t kMinimumMemory = 64 * kMiB;
// What V8, libuv and the worker take before the first object of the agent.
constexpr std::uint64_t kEngineMemory = 24 * kMiB;
constexpr std::uint64_t kLargestSemiSpace = 16;  // MiB, V8's own on a 64-bit host

constexpr std::array<std::string_view, 3> kSuffixes{".mjs", ".cjs", ".js"};

Status validate(const AgentSpec& spec) {
  auto fits = [&](std::string_view suffix) { return spec.runtime.entrypoint.ends_with(suffix); };
  if (std::ranges::none_of(kSuffixes, fits))
    return refuse_manifest("spec.runtime.entrypoint",
                           spec.runtime.entrypoint + " is not a JavaScript file",
                           "name a file that ends in .mjs (ES module), .cjs (CommonJS) or .js");
  const std::string& lock = spec.runtime.packages;
  if (lock.empty() || lock == "package-lock.json" || lock.ends_with("/package-lock.json"))
    return {};
  return refuse_manifest("spec.runtime.packages", lock + " is not npm's lock file",
                         "name a package-lock.json");
}

// MiB of live objects. A third is left to what is not of the heap (buffers, native add-ons, stacks,
// a large table that is being copied): then a leak meets V8's limit before the cgroup's.
std::uint64_t old_space(std::uint64_t memory) { return (memory - kEngineMemory) / kMiB * 2 / 3; }

// MiB of each half of the space for young objects. By itself V8 goes by the host's memory and would
// take up to 48 MiB.
std::uint64_t semi_space(std::uint64_t memory) {
  return std::min(std::bit_floor(memory / kMiB / 32), kLargestSemiSpace);
}

std::vector<LayerRecipe> layers(const AgentSpec& spec, std::string_view version) {
  return package_layers(spec, version, {"javascript"});
}

LaunchPlan launch_plan(const AgentManifest& manifest) {
  const RuntimeSpec& spec = manifest.spec.runtime;
  std::uint64_t memory = std::max(manifest.spec.resources.memory_bytes, kMinimumMemory);
  LaunchPlan plan;
  plan.executable = kJavascript.executable;
  plan.argv = {kJavascript.executable, "--max-old-space-size=" + std::to_string(old_space(memory)),
               "--max-semi-space-size=" + std::to_string(semi_space(memory)),
               "/app/" + spec.entrypoint};
  plan.argv.insert(plan.argv.end(), spec.args.begin(), spec.args.end());
  plan.env = common_environment(manifest, {});
  plan.cwd = "/app";
  return plan;
}

ReadyWhen ready(const AgentSpec& spec) {
  return spec.readiness.self ? ReadyWhen::kAgentSays : ReadyWhen::kExecuted;
}

}  // namespace

Runtime javascript_runtime() {
  return {.type = kJavascript.name,
          .engine = "node",
          .minimum_memory = kMinimumMemory,
          .validate = validate,
          .layers = layers,
          .launch_plan = launch_plan,
          .ready = ready,
          // A full heap alone is 0.48 of the smallest memory and 0.7 of a large one; pages of the
          // program that the cgroup is charged for can only add to it.
          .out_of_memory = {.signal = SIGABRT,
                            .permille = 450,
                            .said = "V8 ended it because its heap was full, see its log"}};
}

}  // namespace flodea
