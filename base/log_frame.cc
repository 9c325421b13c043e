#include "base/log_frame.h"

#include "base/bytes.h"

namespace flodea {
namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kFixedBytes = LogFrame::kHeaderBytes - kLengthBytes;

}  // namespace

void append_log_frame(const LogFrame& frame, std::string& out) {
  append_integer(out, static_cast<std::uint32_t>(kFixedBytes + frame.text.size()));
  append_integer(out, LogFrame::kVersion);
  append_integer(out, static_cast<std::uint8_t>(frame.stream));
  append_integer(out, frame.flags);
  append_integer(out, std::uint8_t{0});
  append_integer(out, frame.seq);
  append_integer(out, frame.time_ns);
  out += frame.text;
}

Result<std::optional<ParsedLogFrame>> parse_log_frame(std::string_view buffer) {
  if (buffer.size() < kLengthBytes) return std::nullopt;
  auto length = integer_at<std::uint32_t>(buffer, 0);
  if (length < kFixedBytes || length > kFixedBytes + LogFrame::kMaxText)
    return fail(Code::kDataLoss, "log frame with an impossible length");
  if (buffer.size() < kLengthBytes + length) return std::nullopt;
  auto stream = integer_at<std::uint8_t>(buffer, 5);
  if (integer_at<std::uint8_t>(buffer, 4) != LogFrame::kVersion || stream < 1 || stream > 4)
    return fail(Code::kDataLoss, "log frame of an unknown kind");
  ParsedLogFrame parsed{
      .frame = {.seq = integer_at<std::uint64_t>(buffer, 8),
                .time_ns = integer_at<std::int64_t>(buffer, 16),
                .stream = static_cast<LogStream>(stream),
                .flags = integer_at<std::uint8_t>(buffer, 6),
                .text = std::string(buffer.substr(LogFrame::kHeaderBytes, length - kFixedBytes))},
      .bytes = kLengthBytes + length};
  return parsed;
}

}  // namespace flodea
