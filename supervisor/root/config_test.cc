#include "supervisor/root/config.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::root;

TEST_CASE("a file's settings are taken") {
  Config config;
  REQUIRE(apply_config_text(
      "state-dir: /srv/flodea\nmax-memory: 2Gi\nmax-agents: 12\nshutdown-timeout: 2m\n", config));
  CHECK(config.state_dir == "/srv/flodea");
  CHECK(config.max_memory == 2ull << 30);
  CHECK(config.max_agents == 12);
  CHECK(config.shutdown_timeout == 120);
  CHECK(config.run_dir == "/run/flodea");
}

TEST_CASE("what a file has wrong is refused with its line") {
  struct Row {
    const char* text;
    const char* said;
  };
  for (const Row& row :
       {Row{"state-dir: /a\nstate-dri: /b\n", "line 2: unknown setting \"state-dri\""},
        Row{"metrics: a\nmetrics: b\n", "line 2: \"metrics\" is set twice"},
        Row{"max-agents: many\n", "line 1: max-agents: \"many\" is no whole number from 1"},
        Row{"max-agents: 0\n", "line 1: max-agents: \"0\" is no whole number from 1"},
        Row{"max-agents: 4294967296\n", "line 1: max-agents"},
        Row{"\n\nlog-level: loud\n",
            "line 3: log-level: \"loud\" is none of trace, debug, info, warn, error"},
        Row{"max-memory: {a: b}\n", "line 1: a setting is"}, Row{"- a\n", "line 1: expected"},
        Row{"a: [\n", "line"}}) {
    Config config;
    auto applied = apply_config_text(row.text, config);
    REQUIRE_FALSE(applied);
    INFO(applied.error().message);
    CHECK(applied.error().message.find(row.said) == 0);
  }
}

TEST_CASE("the command line says the last word") {
  const char* argv[] = {"flodead", "--run-dir", "/tmp/run", "--metrics", "127.0.0.1:1"};
  auto parsed = parse_arguments(5, argv);
  REQUIRE(parsed);
  CHECK_FALSE(parsed->exit_code);
  CHECK(parsed->config.run_dir == "/tmp/run");
  for (const char* level : {"trace", "debug", "info", "warn", "error"}) {
    const char* leveled[] = {"flodead", "--log-level", level};
    CHECK(parse_arguments(3, leveled)->config.log_level == level);
  }
  const char* loud[] = {"flodead", "--log-level", "loud"};
  auto refused = parse_arguments(3, loud);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().describe().find("--log-level: \"loud\" is none of") != std::string::npos);
  const char* wrong[] = {"flodead", "--no-such"};
  CHECK(parse_arguments(2, wrong)->exit_code == 2);
}
