#include "supervisor/control/operators/spec_fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quantity.h"
#include "base/text.h"

namespace flodea::control {

tl::unexpected<Error> refuse(std::string_view field, std::string message, std::string_view remedy) {
  return tl::unexpected(fail(Code::kInvalidArgument, std::move(message))
                            .value()
                            .with_field(field)
                            .with_remedy(remedy));
}

std::string quoted(std::string_view text) { return "\"" + std::string(text.substr(0, 80)) + "\""; }

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates,
                         std::string otherwise) {
  auto near = nearest(word, candidates, 1);
  return near.empty() ? std::move(otherwise) : "did you mean " + quoted(near.front()) + "?";
}

Result<std::uint64_t> bytes_field(std::string_view field, const std::string& text,
                                  std::uint64_t otherwise, Range<std::uint64_t> range) {
  if (text.empty()) return otherwise;
  auto value = parse_bytes(text);
  if (!value) return tl::unexpected(std::move(value).error().with_field(field));
  if (*value >= range.low && *value <= range.high) return *value;
  return refuse(field,
                fmt::format("{} is not between {} and {}", text, format_bytes(range.low),
                            format_bytes(range.high)),
                *value < range.low ? "give it at least " + format_bytes(range.low)
                                   : "give it at most " + format_bytes(range.high));
}

Result<Nanos> duration_field(std::string_view field, const std::string& text, Nanos otherwise,
                             Range<Nanos> range) {
  if (text.empty()) return otherwise;
  auto value = parse_duration(text);
  if (!value && value.error().code != Code::kOutOfRange)
    return tl::unexpected(std::move(value).error().with_field(field));
  if (value && *value >= range.low && *value <= range.high) return *value;
  return refuse(field,
                fmt::format("{} is not between {} and {}", text, format_duration(range.low),
                            format_duration(range.high)),
                "write a duration in that range");
}

Result<std::uint32_t> count_field(std::string_view field, std::uint32_t value,
                                  std::uint32_t otherwise, Range<std::uint32_t> range) {
  if (value == 0) return otherwise;
  if (value >= range.low && value <= range.high) return value;
  return refuse(field, fmt::format("{} is not between {} and {}", value, range.low, range.high),
                "write a number in that range");
}

Result<std::size_t> word_field(std::string_view field, const std::string& text,
                               const std::vector<std::string>& words) {
  if (text.empty()) return 0u;
  auto it = std::ranges::find(words, text);
  if (it != words.end()) return static_cast<std::size_t>(it - words.begin());
  return refuse(field, quoted(text) + " is none of its values",
                did_you_mean(text, words, fmt::format("use one of: {}", fmt::join(words, ", "))));
}

std::string exact_duration(Nanos duration) {
  std::string text = format_duration(duration);
  auto back = parse_duration(text);
  return back && *back == duration ? text : std::to_string(duration.count()) + "ns";
}

}  // namespace flodea::control
