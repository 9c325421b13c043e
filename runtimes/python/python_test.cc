#include "runtimes/python/python.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;

namespace {

AgentManifest manifest() {
  AgentManifest out;
  out.name = "ledger";
  out.spec.runtime = {
      .type = "python", .entrypoint = "src/main.py", .args = {"--fast", ""}, .env = {}};
  return out;
}

}  // namespace

TEST_CASE("the entry point is run by the interpreter from /app, as the agent's uid") {
  LaunchPlan plan = python_runtime().launch_plan(manifest());
  CHECK(plan.executable == "/usr/bin/python3");
  CHECK(plan.argv ==
        std::vector<std::string>{"/usr/bin/python3", "/app/src/main.py", "--fast", ""});
  CHECK(plan.cwd == "/app");
  CHECK(plan.uid == 1000);
}

TEST_CASE("an entry point that is not Python source is refused") {
  AgentManifest wrong = manifest();
  wrong.spec.runtime.entrypoint = "main.mjs";
  CHECK(python_runtime().validate(wrong.spec).error().field == "spec.runtime.entrypoint");
}

TEST_CASE("an agent that waits to say so is ready only then") {
  AgentManifest m = manifest();
  CHECK(python_runtime().ready(m.spec) == ReadyWhen::kExecuted);
  m.spec.readiness.self = true;
  CHECK(python_runtime().ready(m.spec) == ReadyWhen::kAgentSays);
}
