// flodead's settings: defaults, then a YAML file of root's, then the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace flodea::root {

struct Config {
  std::string state_dir = "/var/lib/flodea";
  std::string run_dir = "/run/flodea";
  std::string metrics = "127.0.0.1:9464";
  std::string log_level = "info";
  std::uint32_t max_agents = 4096;
  std::uint64_t max_memory = 0;  // bytes, sum of all running agents' limits; 0: 90 % of the host's
  std::uint64_t max_disk =
      0;  // bytes, sum of all volumes; 0: what the file system has, less 5 % of it
  std::string pressure = "/proc/pressure/memory";
  std::uint32_t shutdown_timeout = 90;  // seconds that control has for stopping every agent
  // Given by flodead itself (reload.h), never by people: a descriptor with the state of the life
  // before, to go on from, or only to say whether that could be done. -1: none.
  int resume = -1;
  int check_state = -1;
  std::string control;  // another program in flodea-control's place; for tests, command line only
};

// Exits by itself for --help and --version: `exit_code` is set then, or for a usage error (2).
struct ParsedArguments {
  Config config;
  std::optional<int> exit_code;
};
Result<ParsedArguments> parse_arguments(int argc, const char* const* argv);

// Applies a file's text; unknown and duplicate keys are refused with their line.
Status apply_config_text(const std::string& text, Config& config);

}  // namespace flodea::root
