#include "base/log_frame.h"

#include <cstring>

namespace flodea {
namespace {

template <class T>
void put(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

template <class T>
T get(std::string_view buffer, std::size_t at) {
  T value;
  std::memcpy(&value, buffer.data() + at, sizeof value);
  return value;
}

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kFixedBytes = LogFrame::kHeaderBytes - kLengthBytes;

}  // namespace

void append_log_frame(const LogFrame& frame, std::string& out) {
  put(out, static_cast<std::uint32_t>(kFixedBytes + frame.text.size()));
  put(out, LogFrame::kVersion);
  put(out, static_cast<std::uint8_t>(frame.stream));
  put(out, frame.flags);
  put(out, std::uint8_t{0});
  put(out, frame.seq);
  put(out, frame.time_ns);
  out += frame.text;
}

Result<std::optional<ParsedLogFrame>> parse_log_frame(std::string_view buffer) {
  if (buffer.size() < kLengthBytes) return std::nullopt;
  auto length = get<std::uint32_t>(buffer, 0);
  if (length < kFixedBytes || length > kFixedBytes + LogFrame::kMaxText)
    return fail(Code::kDataLoss, "log frame with an impossible length");
  if (buffer.size() < kLengthBytes + length) return std::nullopt;
  auto stream = get<std::uint8_t>(buffer, 5);
  if (get<std::uint8_t>(buffer, 4) != LogFrame::kVersion || stream < 1 || stream > 4)
    return fail(Code::kDataLoss, "log frame of an unknown kind");
  ParsedLogFrame parsed{
      .frame = {.seq = get<std::uint64_t>(buffer, 8),
                .time_ns = get<std::int64_t>(buffer, 16),
                .stream = static_cast<LogStream>(stream),
                .flags = get<std::uint8_t>(buffer, 6),
                .text = std::string(buffer.substr(LogFrame::kHeaderBytes, length - kFixedBytes))},
      .bytes = kLengthBytes + length};
  return parsed;
}

}  // namespace flodea
