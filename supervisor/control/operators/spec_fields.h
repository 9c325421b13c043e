// The kinds of fields that a manifest has: text to value, the default where nothing stands, bounds.
// Each refusal is INVALID_ARGUMENT with the field's path and what to write instead. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace flodea::control {

template <class T>
struct Range {
  T low, high;
};

tl::unexpected<Error> refuse(std::string_view field, std::string message, std::string_view remedy);
std::string quoted(std::string_view text);
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates,
                         std::string otherwise);

Result<std::uint64_t> bytes_field(std::string_view field, const std::string& text,
                                  std::uint64_t otherwise, Range<std::uint64_t> range);
Result<Nanos> duration_field(std::string_view field, const std::string& text, Nanos otherwise,
                             Range<Nanos> range);
Result<std::uint32_t> count_field(std::string_view field, std::uint32_t value,
                                  std::uint32_t otherwise, Range<std::uint32_t> range);
// Index of the word in `words`; an empty one is the first.
Result<std::size_t> word_field(std::string_view field, const std::string& text,
                               const std::vector<std::string>& words);

std::string exact_duration(Nanos duration);  // read back it is the same, whatever the value

}  // namespace flodea::control
