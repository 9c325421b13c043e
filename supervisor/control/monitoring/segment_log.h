// One agent's log on disk: encrypted segments of keep/8, the oldest deleted when the total would
// exceed `keep`. Thread-safe: one writer at a time, any number of readers beside it. It owns the
// open segment; the directory descriptor is the store's and outlives it. Survives kill -9 at any
// instruction: an incomplete last chunk is cut at open; what is whole but unreadable stays, and a
// new segment begins.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "supervisor/control/monitoring/log_keys.h"
#include "supervisor/control/monitoring/log_reader.h"
#include "supervisor/control/monitoring/log_segment.h"

namespace flodea::control {

class SegmentLog {
 public:
  struct Options {
    int directory = -1;  // logs/
    AgentId agent;
    LogKeyArena::Ref key;
    std::uint64_t keep_bytes = 0;
    const Clock* clock = nullptr;
  };
  static Result<std::unique_ptr<SegmentLog>> open(Options options);
  static Status remove_files(int directory,
                             const AgentId& agent);  // content with a log that is not there

  // One chunk: all of it or, on error, nothing is stored. `seq` is the last frame's among the
  // records; none: no frame is among them. Times later than now become now.
  Status append(Generation generation, std::span<const LogRecord> records,
                std::optional<std::uint64_t> seq);
  std::uint64_t stored_seq(Generation generation) const;  // 0: nothing of that instance
  Result<std::vector<LogLine>> read(const LogQuery& query) const;
  std::uint64_t stored_bytes() const;
  const std::string& damage() const { return damage_; }  // what `open` could not read, or empty
  const LogKeyArena::Ref& key() const { return options_.key; }
  void keep(std::uint64_t bytes);
  Status remove();  // deletes the files; afterwards `append` fails with kNotFound

 private:
  explicit SegmentLog(Options options) : options_(std::move(options)) {}
  Status find_segments();
  Status recover();
  Result<bool> recover_from(const SegmentExtent& extent, bool newest);
  Result<UniqueFd> open_segment(std::uint64_t number, int flags) const;
  Status unlink_segment(std::uint64_t number) const;
  Status make_room(std::uint64_t bytes);
  Status begin_segment();
  Status write_chunk(const std::string& sealed);
  void advance(Generation generation, std::uint64_t seq);
  std::uint64_t segment_bytes() const;
  LogSnapshot snapshot() const;

  Options options_;
  std::string damage_;

  mutable std::mutex write_mutex_;  // guards the writer's state below; taken before index_mutex_
  UniqueFd current_;                // of the newest segment; invalid: the next append begins one
  std::string header_;
  std::vector<LogPosition> positions_;
  std::int64_t stored_ns_ = 0;
  bool removed_ = false;

  mutable std::mutex index_mutex_;  // held for moments only
  std::vector<SegmentExtent> segments_;
  std::uint64_t next_line_ = 0;
  std::uint64_t next_number_ = 1;
};

}  // namespace flodea::control
