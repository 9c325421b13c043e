#include "cli/manifest/manifest.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/manifest/yaml_tree.h"

namespace flodea::cli {
namespace {

constexpr std::string_view kLedger = R"(# a comment
apiVersion: flodea/v1
kind: Agent
metadata: {name: ledger, labels: {team: treasury}}
spec:
  runtime: {type: python, entrypoint: main.py, args: [a, 1, "2"], env: {LOG: debug, N: 3, T: true}}
  bundle: ./ledger
  resources: {memory: 64Mi, cpu: 0.5, pids: 64, disk: 128Mi, open_files: 256}
  restart: {policy: on-failure, max_retries: 0, backoff: {initial: 200ms, max: 30s}}
  stop_timeout: 5s
)";

TEST_CASE("the manifest of the documentation is read whole") {
  auto parsed = parse_manifest(kLedger, "ledger.yaml");
  REQUIRE(parsed);
  const auto& m = parsed->message;
  CHECK(m.api_version() == "flodea/v1");
  CHECK(m.metadata().name() == "ledger");
  CHECK(m.metadata().labels().at("team") == "treasury");
  CHECK(m.spec().runtime().args_size() == 3);
  CHECK(m.spec().runtime().args(1) == "1");
  CHECK(m.spec().runtime().env().at("T") == "true");
  CHECK(m.spec().resources().cpu() == "0.5");
  CHECK(m.spec().resources().pids() == 64);
  CHECK(m.spec().restart().has_max_retries());
  CHECK(m.spec().restart().backoff().max() == "30s");
}

TEST_CASE("each field's line is known, for what the supervisor refuses later") {
  auto parsed = parse_manifest(kLedger, "ledger.yaml");
  REQUIRE(parsed);
  CHECK(parsed->line_of("spec.stop_timeout") == 10);
  CHECK(parsed->line_of("spec.resources.memory") == 8);
  CHECK(parsed->line_of("spec.runtime.env.LOG") == 6);
  CHECK(parsed->line_of("spec.runtime.args[1]") == 6);
  CHECK(parsed->line_of("spec.logs.keep") == 5);
  CHECK(parsed->line_of("elsewhere") == 0);
  Error error{
      .code = Code::kInvalidArgument, .message = "too little", .field = "spec.resources.memory"};
  CHECK(parsed->locate(error).message == "ledger.yaml:8: too little");
}

TEST_CASE("a field with nothing in it has its default") {
  auto parsed = parse_manifest(
      "apiVersion: flodea/v1\nkind: Agent\nmetadata:\n  name: a\n  labels:\nspec: ~\n", "f");
  REQUIRE(parsed);
  CHECK(parsed->message.metadata().labels().empty());
}

struct Bad {
  std::string what;
  std::string text;
  int line;
  std::string in_text;
};

TEST_CASE("what is no manifest is refused with its line and what to do") {
  std::string deep = std::string(200, '[') + std::string(200, ']');
  const std::vector<Bad> cases{
      {"unknown field", "apiVersion: x\nspec:\n  resources:\n    memry: 64Mi\n", 4,
       "did you mean \"memory\""},
      {"unknown at the top", "apiVersion: x\nspecs: {}\n", 2, "did you mean \"spec\""},
      {"camel case", "spec: {stopTimeout: 5s}\n", 1, "stop_timeout"},
      {"proto name of apiVersion", "api_version: flodea/v1\n", 1, "apiVersion"},
      {"far from everything", "spec: {zzzzzzzz: 1}\n", 1, "there are: runtime"},
      {"duplicate", "kind: Agent\nspec:\n  bundle: a\n  bundle: b\n", 4, "first on line 3"},
      {"duplicate in a map", "spec: {runtime: {env: {A: 1,\n A: 2}}}\n", 2, "twice"},
      {"duplicate, one quoted", "kind: a\n\"kind\": b\n", 2, "twice"},
      {"second document", "kind: Agent\n---\nkind: Agent\n", 3, "second document"},
      {"alias", "metadata: &m {name: a}\nspec: *m\n", 2, "aliases"},
      {"merge key", "metadata: &m {name: a}\nspec:\n  <<: *m\n", 3, "aliases"},
      {"tag", "kind: !!binary aGk=\n", 1, "tags"},
      {"text for a map", "spec: hello\n", 1, "a map of fields"},
      {"list for text", "spec: {bundle: [a]}\n", 1, "text"},
      {"map for a list", "spec: {runtime: {args: {a: b}}}\n", 1, "a list"},
      {"text for a list", "spec: {runtime: {args: --all}}\n", 1, "a list"},
      {"text for a number", "spec: {resources: {pids: many}}\n", 1, "whole number"},
      {"quoted number", "spec: {resources: {pids: \"64\"}}\n", 1, "whole number"},
      {"fraction", "spec: {resources: {pids: 1.5}}\n", 1, "whole number"},
      {"negative", "spec: {resources: {pids: -1}}\n", 1, "whole number"},
      {"too large", "spec: {resources: {pids: 4294967296}}\n", 1, "at most 4294967295"},
      {"zero", "spec: {resources: {pids: 0}}\n", 1, "cannot be 0"},
      {"nothing for a variable", "spec: {runtime: {env: {A: }}}\n", 1, "\"\" for none"},
      {"list as key", "? [a]\n: b\n", 1, "key must be text"},
      {"a list", "- a\n", 1, "a map of fields"},
      {"empty", "", 1, "empty"},
      {"only a comment", "# nothing\n", 1, "empty"},
      {"not YAML", "kind: [a\nspec: }\n", 2, "not YAML"},
      {"tab", "spec:\n\tbundle: a\n", 2, "not YAML"},
      {"too deep", "spec: " + deep + "\n", 1, "deep"},
      {"not UTF-8", "kind: Agent\nmetadata: {name: \"\xff\"}\n", 2, "UTF-8"},
      {"NUL", std::string("kind: A\n\0", 9), 2, "UTF-8"},
      {"too large", std::string(kMaxYamlBytes + 1, '#'), 1, "64Ki"},
  };
  for (const Bad& c : cases) {
    INFO(c.what);
    auto parsed = parse_manifest(c.text, "m.yaml");
    REQUIRE_FALSE(parsed);
    INFO(parsed.error().describe());
    CHECK(parsed.error().code == Code::kInvalidArgument);
    CHECK(parsed.error().message.starts_with("m.yaml:" + std::to_string(c.line) + ": "));
    CHECK(parsed.error().describe().find(c.in_text) != std::string::npos);
    CHECK_FALSE(parsed.error().remedy.empty());
  }
}

TEST_CASE("an alias bomb costs nothing") {
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'j'; ++c) {
    bomb += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 9; ++i)
      bomb += std::string(i == 0 ? "" : ",") + "*" + static_cast<char>(c - 1);
    bomb += "]\n";
  }
  auto parsed = parse_manifest(bomb, "m.yaml");
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().message.find("aliases") != std::string::npos);
}

TEST_CASE("YAML as others write it is understood") {
  auto parsed = parse_manifest(
      "---\n\"apiVersion\": 'flodea/v1'\nkind: \"Agent\"\nspec:\n  runtime:\n    args:\n    - >-\n "
      "     one\n      two\n    - ''\n...\n",
      "f");
  REQUIRE(parsed);
  CHECK(parsed->message.spec().runtime().args(0) == "one two");
  CHECK(parsed->message.spec().runtime().args(1).empty());
}

}  // namespace
}  // namespace flodea::cli
