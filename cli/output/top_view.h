// What agents use at the moment: rates between two answers of List.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/output/output.h"

namespace flodea::cli {

enum class TopOrder { kName, kCpu, kMemory, kCalls };

struct TopRow {
  std::string name;
  std::string state;
  std::optional<double> cpu_percent;  // of one core; none: no two readings of one instance
  std::optional<double> calls_per_second;
  std::uint64_t memory_bytes = 0;
  std::string memory_limit;  // as the manifest has it
  std::uint32_t restarts = 0;
  std::optional<std::int64_t> uptime_seconds;  // while it runs
};

// Highest first but for names.
std::vector<TopRow> top_rows(const operators::v1::ListResponse& before,
                             const operators::v1::ListResponse& after, TopOrder order, Nanos now);
std::string top_table(const std::vector<TopRow>& rows);
std::string top_item(const std::vector<TopRow>& rows, Format format);  // JSON or YAML

}  // namespace flodea::cli
