#include "cli/commands/since.h"

#include <algorithm>

#include "base/quantity.h"

namespace flodea::cli {
namespace {

Result<Nanos> parse_since(const std::string& text, Nanos now) {
  if (auto back = parse_duration(text)) return std::max(now - *back, Nanos::zero());
  return parse_rfc3339(text);
}

}  // namespace

std::string check_since(const std::string& text) {
  if (parse_since(text, Nanos(0))) return "";
  auto duration = parse_duration(text);
  if (duration.error().code == Code::kOutOfRange) return duration.error().message;
  return "\"" + text + "\" is neither a duration (10m) nor a time (2026-01-02T03:04:05Z)";
}

google::protobuf::Timestamp since_time(const std::string& text, Nanos now) {
  Nanos since = parse_since(text, now).value_or(Nanos::zero());
  auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  google::protobuf::Timestamp time;
  time.set_seconds(seconds.count());
  time.set_nanos(static_cast<std::int32_t>((since - seconds).count()));
  return time;
}

}  // namespace flodea::cli
