// Reads pages of a log's segments, beside its writer: only what the snapshot says is there. Finds a
// time, a line number or a cursor by chunk lengths and a few decrypted chunks, never by decrypting
// all. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "supervisor/control/monitoring/log_segment.h"
#include "supervisor/control/monitoring/log_store.h"

namespace flodea::control {

struct SegmentExtent {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
};

struct LogSnapshot {
  std::vector<SegmentExtent> segments;  // by number, rising
  std::uint64_t next_line = 0;          // of the line written next
};

struct LogSource {
  int directory = -1;  // logs/
  const AgentId& agent;
  const unsigned char* key;
};

// Damaged chunks appear as a kSystem line that says how much is missing. kInvalidArgument: the
// cursor names no place of this log.
Result<std::vector<LogLine>> read_log(const LogSource& source, const LogSnapshot& snapshot,
                                      const LogQuery& query);

}  // namespace flodea::control
