// What agent.v1.Self is made of, without gRPC: what the rest of control tells an agent about
// itself, its structured log records, and the request to stop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace flodea::agent {

struct Limits {
  std::uint64_t memory_bytes = 0;
  std::uint32_t cpu_millis = 0;
  std::uint32_t pids = 0;
  std::uint64_t disk_bytes = 0;
  std::uint32_t open_files = 0;
};

struct Description {
  std::string name;
  std::map<std::string, std::string> labels;
  std::uint64_t generation = 0;
  std::string spec_json;
  Limits limits;
  std::uint32_t restarts = 0;
};

struct Usage {
  std::uint64_t cpu_nanos = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_peak_bytes = 0;
  std::uint32_t pids = 0;
  std::uint64_t disk_used_bytes = 0;
  std::uint64_t calls = 0;
};

// The rest of control, for one agent. Thread-safe; no method blocks.
class SelfPort {
 public:
  virtual ~SelfPort() = default;
  virtual Usage usage() = 0;
  virtual Status log(std::string line) = 0;
  virtual void ready() = 0;
};

enum class Level { kDebug, kInfo, kWarning, kError };

struct Record {
  Level level = Level::kInfo;
  std::string message;
  std::map<std::string, std::string> fields;
};

inline constexpr std::size_t kMaxRecords = 100;       // of one call
inline constexpr std::size_t kMaxRecordBytes = 8192;  // as it is kept

// One line of JSON: {"level":"info","message":"…","fields":{…}}. kInvalidArgument: over 8 KiB.
Result<std::string> format_record(const Record& record);
// All of them or none. kInvalidArgument names the record.
Result<std::vector<std::string>> format_records(const std::vector<Record>& records);

struct StopRequest {
  std::string reason;
  Nanos deadline{};  // wall time at which the agent is killed
};

// The request to stop, kept: whoever watches later hears of it at once. Thread-safe.
class StopBoard {
 public:
  using Watcher = std::function<void(const StopRequest&)>;
  using Id = std::uint64_t;

  void request(const StopRequest& request);  // the latest counts
  // `watcher` is called once, perhaps before this returns; outside the lock. 0: it was called
  // already.
  Id watch(Watcher watcher);
  // True: the watcher will never be called.
  bool unwatch(Id id);

 private:
  std::mutex mutex_;
  std::optional<StopRequest> request_;
  std::map<Id, Watcher> watchers_;
  Id last_id_ = 0;
};

}  // namespace flodea::agent
