#include "runtimes/python/python.h"

#include "policy/profiled_runtimes.h"

namespace flodea {
namespace {

// Measured: an interpreter that has imported the SDK and json holds 11 MiB, the worker 1; below
// this the imports of ssl and asyncio fail.
constexpr std::uint64_t kMinimumMemory = 24 * kMiB;

Status validate(const AgentSpec& spec) {
  if (!spec.runtime.entrypoint.ends_with(".py"))
    return refuse_manifest("spec.runtime.entrypoint",
                           spec.runtime.entrypoint + " is not a Python source file",
                           "name a file that ends in .py");
  const std::string& lock = spec.runtime.packages;
  if (lock.empty() || lock.ends_with(".lock") || lock.ends_with(".txt")) return {};
  return refuse_manifest("spec.runtime.packages", lock + " is not Python's lock file",
                         "name one with hashes that ends in .lock or .txt");
}

std::string python_path(const RuntimeSpec& spec) {
  std::string path = "PYTHONPATH=/opt/flodea/sdk/python";
  // After the SDK: no package takes its place.
  return spec.packages.empty() ? path : path + ":/app/__pypackages__";
}

std::vector<LayerRecipe> layers(const AgentSpec& spec, std::string_view version) {
  return package_layers(spec, version, {"--python", std::string(version), "python"});
}

LaunchPlan launch_plan(const AgentManifest& manifest) {
  const RuntimeSpec& spec = manifest.spec.runtime;
  LaunchPlan plan;
  plan.executable = kPython.executable;
  plan.argv = {kPython.executable, "/app/" + spec.entrypoint};
  plan.argv.insert(plan.argv.end(), spec.args.begin(), spec.args.end());
  // A line printed is a line logged.
  plan.env = common_environment(manifest, {"PYTHONUNBUFFERED=1", python_path(spec)});
  plan.cwd = "/app";
  return plan;
}

ReadyWhen ready(const AgentSpec& spec) {
  return spec.readiness.self ? ReadyWhen::kAgentSays : ReadyWhen::kExecuted;
}

}  // namespace

Runtime python_runtime() {
  return {.type = kPython.name,
          .engine = {},
          .minimum_memory = kMinimumMemory,
          .validate = validate,
          .layers = layers,
          .launch_plan = launch_plan,
          .ready = ready};
}

}  // namespace flodea
