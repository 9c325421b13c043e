#include "runtimes/python/python.h"

#include "policy/profiled_runtimes.h"

namespace flodea {
namespace {

// Measured: an interpreter that has imported the SDK and json holds 11 MiB, the worker 1; below
// this the imports of ssl and asyncio fail.
constexpr std::uint64_t kMinimumMemory = 24 * kMiB;

Status validate(const AgentSpec& spec) {
  if (spec.runtime.entrypoint.ends_with(".py")) return {};
  return refuse_manifest("spec.runtime.entrypoint",
                         spec.runtime.entrypoint + " is not a Python source file",
                         "name a file that ends in .py");
}

std::vector<LayerRecipe> layers(const AgentSpec&, std::string_view) { return {}; }

LaunchPlan launch_plan(const AgentManifest& manifest) {
  const RuntimeSpec& spec = manifest.spec.runtime;
  LaunchPlan plan;
  plan.executable = kPython.executable;
  plan.argv = {kPython.executable, "/app/" + spec.entrypoint};
  plan.argv.insert(plan.argv.end(), spec.args.begin(), spec.args.end());
  plan.env = common_environment(
      manifest, {"PYTHONUNBUFFERED=1",
                 "PYTHONPATH=/opt/flodea/sdk/python"});  // a line printed is a line logged
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
