#include "runtimes/wasm/wasm.h"

#include <algorithm>

#include "policy/profiled_runtimes.h"

namespace flodea {
namespace {

constexpr std::uint64_t kPage = 64 * 1024;  // memories grow by whole pages

// Measured: flodea-wasm with its WASI charges a cgroup 0.8 MiB, page tables included, the worker 1;
// the rest is for the answers of calls (at most 1 MiB each) and written files on their way.
constexpr std::uint64_t kReservedMemory = 4 * kMiB;
constexpr std::uint64_t kMinimumMemory = 8 * kMiB;

// An element of a table takes 8 bytes of the engine's; a module may have 16 tables.
constexpr std::uint64_t kMemoryForEachElement = 1024;

Status validate(const AgentSpec& spec) {
  if (!spec.runtime.entrypoint.ends_with(".wasm"))
    return refuse_manifest("spec.runtime.entrypoint",
                           spec.runtime.entrypoint + " is not a WebAssembly module",
                           "name a file that ends in .wasm");
  if (spec.startup || spec.readiness.probe || spec.liveness.probe)
    return refuse_manifest(spec.startup           ? "spec.startup"
                           : spec.readiness.probe ? "spec.readiness.exec"
                                                  : "spec.liveness.exec",
                           "a WebAssembly agent may start no process, so no probe either",
                           "use readiness: {signal: self} and liveness: {beat: 30s}");
  if (spec.runtime.packages.empty()) return {};
  return refuse_manifest("spec.runtime.packages", "a WebAssembly module has no packages",
                         "link what it needs into the module, and leave this out");
}

// Compiled in a sandbox of its own. Measured: 80 MiB for a module of 1.85 MiB, with its machine
// code; 0.5 s for each MiB.
std::vector<LayerRecipe> layers(const AgentSpec& spec, std::string_view version) {
  return {
      {.program = "wasm-compiler",
       .arguments = {"--max-memory", std::to_string(wasm_memory_limit(spec.resources))},
       .input = spec.runtime.entrypoint,
       .output = std::string(std::string_view(kWasmCode).substr(std::string_view("/app/").size())),
       .version = std::string(version),
       .field = "spec.runtime.entrypoint",
       .input_limit = kLongestWasmModule,
       .memory_bytes = 48 * kMiB,
       .memory_per_byte = 64,
       .seconds = 120,
       .output_bytes = 512 * kMiB}};
}

LaunchPlan launch_plan(const AgentManifest& manifest) {
  const RuntimeSpec& spec = manifest.spec.runtime;
  std::uint64_t memory = wasm_memory_limit(manifest.spec.resources);
  LaunchPlan plan;
  plan.executable = kWasm.executable;
  plan.argv = {kWasm.executable,
               "--memory",
               std::to_string(memory),
               "--tables",
               std::to_string(memory / kMemoryForEachElement),
               "--name",
               "/app/" + spec.entrypoint,
               kWasmCode};
  plan.argv.insert(plan.argv.end(), spec.args.begin(), spec.args.end());
  plan.env = common_environment(manifest, {});
  plan.cwd = "/app";
  return plan;
}

ReadyWhen ready(const AgentSpec& spec) {
  return spec.readiness.self ? ReadyWhen::kAgentSays : ReadyWhen::kExecuted;
}

}  // namespace

std::uint64_t wasm_memory_limit(const Resources& resources) {
  std::uint64_t rest = resources.memory_bytes - std::min(resources.memory_bytes, kReservedMemory);
  return std::max(rest / kPage * kPage, kPage);
}

Runtime wasm_runtime() {
  return {
      .type = kWasm.name,
      .minimum_memory = kMinimumMemory,
      .validate = validate,
      .layers = layers,
      .launch_plan = launch_plan,
      .ready = ready,
      .out_of_memory = {.exit_code = kWasmOutOfMemory,
                        .said = "the module gave up with its memory at its limit, see its log"}};
}

}  // namespace flodea
