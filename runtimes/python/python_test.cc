#include "runtimes/python/python.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;

namespace {

AgentManifest manifest() {
  AgentManifest out;
  out.name = "ledger";
  out.spec.runtime = {.type = "python",
                      .entrypoint = "src/main.py",
                      .args = {"--fast", ""},
                      .env = {},
                      .packages = ""};
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

TEST_CASE("packages of a lock file are found after the SDK, and without one there are none") {
  AgentManifest m = manifest();
  auto path = [&] {
    for (const std::string& pair : python_runtime().launch_plan(m).env)
      if (pair.starts_with("PYTHONPATH=")) return pair;
    return std::string();
  };
  CHECK(path() == "PYTHONPATH=/opt/flodea/sdk/python");
  for (const char* lock : {"requirements.lock", "deps/requirements.txt"}) {
    m.spec.runtime.packages = lock;
    CHECK(python_runtime().validate(m.spec));
    CHECK(path() == "PYTHONPATH=/opt/flodea/sdk/python:/app/__pypackages__");
  }
  m.spec.runtime.packages = "package-lock.json";
  CHECK(python_runtime().validate(m.spec).error().field == "spec.runtime.packages");
}
