#include "runtimes/javascript/javascript.h"

#include <csignal>

#include <catch2/catch_test_macros.hpp>

using namespace flodea;

namespace {

AgentManifest manifest(std::uint64_t memory) {
  AgentManifest out;
  out.name = "strategy";
  out.spec.runtime = {.type = "javascript",
                      .engine = "node",
                      .entrypoint = "src/main.mjs",
                      .args = {"--fast", ""},
                      .env = {}};
  out.spec.resources.memory_bytes = memory;
  return out;
}

std::vector<std::string> argv_with(std::uint64_t memory) {
  return javascript_runtime().launch_plan(manifest(memory)).argv;
}

}  // namespace

TEST_CASE("an entry point is run by node from /app, its heap sized by the memory of the manifest") {
  LaunchPlan plan = javascript_runtime().launch_plan(manifest(128 * kMiB));
  CHECK(plan.executable == "/usr/bin/node");
  CHECK(plan.argv == std::vector<std::string>{"/usr/bin/node", "--max-old-space-size=69",
                                              "--max-semi-space-size=4", "/app/src/main.mjs",
                                              "--fast", ""});
  CHECK(plan.cwd == "/app");
  CHECK(plan.uid == 1000);
}

TEST_CASE("the heap leaves room beside it at every size, and V8's young space is bounded") {
  CHECK(argv_with(64 * kMiB)[1] == "--max-old-space-size=26");
  CHECK(argv_with(64 * kMiB)[2] == "--max-semi-space-size=2");
  CHECK(argv_with(1024 * kMiB)[1] == "--max-old-space-size=666");
  CHECK(argv_with(1024 * kMiB)[2] == "--max-semi-space-size=16");
  CHECK(argv_with(1000 * kMiB)[2] == "--max-semi-space-size=16");
}

TEST_CASE("ES modules and CommonJS files are entry points, others are refused") {
  AgentManifest m = manifest(128 * kMiB);
  for (const char* good : {"main.mjs", "main.cjs", "dist/main.js"}) {
    m.spec.runtime.entrypoint = good;
    CHECK(javascript_runtime().validate(m.spec));
  }
  for (const char* wrong : {"main.py", "main.ts", "main.wasm", "main"}) {
    m.spec.runtime.entrypoint = wrong;
    CHECK(javascript_runtime().validate(m.spec).error().field == "spec.runtime.entrypoint");
  }
}

TEST_CASE("a full heap ends node with SIGABRT, and the row says so") {
  CHECK(javascript_runtime().out_of_memory.signal == SIGABRT);
}

TEST_CASE("a JavaScript agent that waits to say so is ready only then") {
  AgentManifest m = manifest(128 * kMiB);
  CHECK(javascript_runtime().ready(m.spec) == ReadyWhen::kExecuted);
  m.spec.readiness.self = true;
  CHECK(javascript_runtime().ready(m.spec) == ReadyWhen::kAgentSays);
}

TEST_CASE("packages come by npm's lock file alone") {
  AgentManifest m = manifest(128 * kMiB);
  for (const char* lock : {"", "package-lock.json", "deps/package-lock.json"}) {
    m.spec.runtime.packages = lock;
    CHECK(javascript_runtime().validate(m.spec));
  }
  for (const char* lock : {"requirements.lock", "my-package-lock.json", "package.json"}) {
    m.spec.runtime.packages = lock;
    CHECK(javascript_runtime().validate(m.spec).error().field == "spec.runtime.packages");
  }
}
