// Looking into a kept log pipe without consuming it, and consuming exactly what was stored. Whoever
// is killed in between leaves all of it in the pipe. Neither call ever waits: a hostile worker
// holds the same pipe, may clear O_NONBLOCK and may read it empty. One LogTee serves all pipes of
// one thread; it is not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/log_frame.h"
#include "base/unique_fd.h"
#include "supervisor/control/monitoring/log_segment.h"

namespace flodea::control {

class LogTee {
 public:
  static constexpr std::size_t kMaxPeek = kMaxChunkText;

  static Result<LogTee> create();
  // At most `max` bytes from the front of `pipe`, which keeps them; empty: nothing is there. Valid
  // until the next call.
  Result<std::string_view> peek(int pipe, std::size_t max);
  Status discard(int pipe, std::size_t bytes);

 private:
  explicit LogTee(UniqueFd null) : null_(std::move(null)), buffer_(kMaxPeek) {}
  Status make_own();
  Result<std::size_t> read_own(std::size_t bytes);
  FdPair own_;  // always empty between calls, or not there: after an error it may hold an agent's
  UniqueFd null_;  // /dev/null
  std::vector<char> buffer_;
};

// What of a peeked buffer is to be stored: frames not seen before, and lines of ours about what the
// worker did wrong.
struct FrameBatch {
  std::deque<LogFrame> frames;  // owns the text of `records`; a deque, so that it stays where it is
  std::vector<LogRecord> records;
  std::size_t consumed = 0;  // bytes of whole frames
  std::uint64_t last_seq = 0;
  std::size_t new_frames = 0;
  std::size_t text_bytes = 0;  // of new frames
  std::size_t notes = 0;
  std::string complaint;  // of the worker's breach, or empty
  bool broken = false;    // not a frame: nothing after it can be trusted
};

// `resumed`: frames this store has already seen may come first, once, after its predecessor died
// between storing and consuming.
FrameBatch read_frames(std::string_view buffer, std::uint64_t last_seq, bool& resumed);

}  // namespace flodea::control
