#include <algorithm>

#include <catch2/catch_test_macros.hpp>

#include "runtimes/runtime.h"

using namespace flodea;

namespace {

AgentSpec python_spec() {
  AgentSpec spec;
  spec.runtime = {.type = "python", .entrypoint = "main.py", .args = {}, .env = {}, .packages = ""};
  return spec;
}

std::string field_of(const AgentSpec& spec) {
  Status status = validate_runtime(spec);
  return status ? "" : status.error().field;
}

}  // namespace

TEST_CASE("a manifest that the runtime can start is taken") {
  CHECK(field_of(python_spec()).empty());
}

TEST_CASE("what a runtime cannot start is refused, naming the field") {
  AgentSpec spec = python_spec();
  SECTION("a runtime that does not exist") {
    spec.runtime.type = "perl";
    CHECK(field_of(spec) == "spec.runtime.type");
    CHECK(validate_runtime(spec).error().remedy.find("python") != std::string::npos);
  }
  SECTION("what its row refuses") {
    spec.runtime.entrypoint = "main.mjs";
    CHECK(field_of(spec) == "spec.runtime.entrypoint");
  }
}

TEST_CASE("the manifest's variables override the runtime's, but never the supervisor's") {
  AgentManifest manifest{.name = "ledger", .labels = {}, .spec = python_spec()};
  manifest.spec.runtime.env = {{"LANG", "de_DE.UTF-8"}, {"LOG", "debug"}};
  auto env = common_environment(manifest, {"X=a=b"});
  auto has = [&](const std::string& pair) { return std::ranges::count(env, pair) == 1; };
  CHECK(has("LANG=de_DE.UTF-8"));
  CHECK(has("LOG=debug"));
  CHECK(has("X=a=b"));
  CHECK(has("HOME=/data"));
  CHECK(has("FLODEA_AGENT=ledger"));
}
