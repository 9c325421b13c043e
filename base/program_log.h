// How Flodea's own programs log: lines of key=value on stderr, times in UTC. Inline, so that each
// program's own spdlog (header-only or shared) has the default logger.
#pragma once

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <time.h>

#include <memory>
#include <string>

namespace flodea {

// Once, at the start of main. `level`: as --log-level has it; an unknown one logs nothing.
inline void start_logging(const std::string& program, const std::string& level) {
  ::tzset();  // reads a file: later, the program may not be able to
  auto logger = spdlog::stderr_logger_mt(program);
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      "%Y-%m-%dT%H:%M:%S.%eZ level=%l program=%n %v", spdlog::pattern_time_type::utc));
  spdlog::set_default_logger(logger);
  spdlog::set_level(spdlog::level::from_str(level));
}

}  // namespace flodea
