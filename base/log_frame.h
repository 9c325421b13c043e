// Frames on the kept log pipe, worker → control. Little-endian, no padding:
//   u32 length of what follows | u8 version | u8 stream | u8 flags | u8 zero | u64 seq | i64
//   time_ns | text (0 … kMaxText bytes)
// `seq` starts at 1 per instance and has no gap; a reader that has seen a seq skips it. Parsing is
// bounded and fuzzed: a worker may be hostile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flodea {

enum class LogStream : std::uint8_t { kStdout = 1, kStderr = 2, kStructured = 3, kSystem = 4 };

struct LogFrame {
  static constexpr std::uint8_t kVersion = 1;
  static constexpr std::uint8_t kPartial =
      1;  // flag: the line goes on in the next frame of this stream
  static constexpr std::uint8_t kLinesDropped =
      2;  // flag: policy `drop` lost lines before this one; their number is in the text
  static constexpr std::size_t kHeaderBytes = 4 + 4 + 8 + 8;
  static constexpr std::size_t kMaxText = 8192;  // longer lines are split, flag kPartial

  std::uint64_t seq = 0;
  std::int64_t time_ns = 0;  // CLOCK_REALTIME
  LogStream stream = LogStream::kStdout;
  std::uint8_t flags = 0;
  std::string text;
};

void append_log_frame(const LogFrame& frame, std::string& out);

struct ParsedLogFrame {
  LogFrame frame;
  std::size_t bytes;  // consumed from the front of the buffer
};
// nullopt: the buffer ends before the frame does. Error: not a frame; the pipe cannot be trusted
// further.
Result<std::optional<ParsedLogFrame>> parse_log_frame(std::string_view buffer);

}  // namespace flodea
