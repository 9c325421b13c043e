#include "runtimes/wasm/wasm.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;

namespace {

AgentManifest manifest() {
  AgentManifest out;
  out.name = "risk";
  out.spec.runtime = {
      .type = "wasm", .entrypoint = "build/risk.wasm", .args = {"--fast", ""}, .env = {}};
  out.spec.resources.memory_bytes = 32 * kMiB;
  return out;
}

}  // namespace

TEST_CASE("a module's compiled code is run by flodea-wasm, under the module's name") {
  LaunchPlan plan = wasm_runtime().launch_plan(manifest());
  CHECK(plan.executable == "/opt/flodea/bin/flodea-wasm");
  CHECK(plan.argv == std::vector<std::string>{"/opt/flodea/bin/flodea-wasm", "--memory", "29360128",
                                              "--tables", "28672", "--name", "/app/build/risk.wasm",
                                              "/app/.flodea/module.cwasm", "--fast", ""});
  CHECK(plan.cwd == "/app");
  CHECK(plan.uid == 1000);
}

TEST_CASE("a module's memory is whole pages, and leaves room for the worker and the engine") {
  Resources resources;
  resources.memory_bytes = 10'000'000;
  CHECK(wasm_memory_limit(resources) == 5'767'168);
  CHECK(wasm_memory_limit(resources) % 65536 == 0);
  resources.memory_bytes = wasm_runtime().minimum_memory;
  CHECK(wasm_memory_limit(resources) == 4 * kMiB);
}

TEST_CASE("an entry point that is no WebAssembly module is refused") {
  AgentManifest wrong = manifest();
  wrong.spec.runtime.entrypoint = "main.wat";
  CHECK(wasm_runtime().validate(wrong.spec).error().field == "spec.runtime.entrypoint");
}

TEST_CASE("a module that waits to say so is ready only then") {
  AgentManifest m = manifest();
  CHECK(wasm_runtime().ready(m.spec) == ReadyWhen::kExecuted);
  m.spec.readiness.self = true;
  CHECK(wasm_runtime().ready(m.spec) == ReadyWhen::kAgentSays);
}

TEST_CASE("a module is whole: packages are refused") {
  AgentManifest m = manifest();
  CHECK(wasm_runtime().validate(m.spec));
  m.spec.runtime.packages = "package-lock.json";
  CHECK(wasm_runtime().validate(m.spec).error().field == "spec.runtime.packages");
}

TEST_CASE("probes of an agent that may start no process are refused, by their field") {
  AgentManifest wrong = manifest();
  wrong.spec.liveness.beat = std::chrono::seconds(1);
  CHECK(wasm_runtime().validate(wrong.spec));
  wrong.spec.liveness = {.probe = ExecProbe{.command = {"true"}}};
  CHECK(wasm_runtime().validate(wrong.spec).error().field == "spec.liveness.exec");
  wrong.spec.readiness.probe = ExecProbe{.command = {"true"}};
  CHECK(wasm_runtime().validate(wrong.spec).error().field == "spec.readiness.exec");
  wrong.spec.startup = ExecProbe{.command = {"true"}};
  CHECK(wasm_runtime().validate(wrong.spec).error().field == "spec.startup");
}
