#include "supervisor/unpacker/refusal.h"

#include <fmt/format.h>

#include "base/text.h"

namespace flodea::unpacker {

std::string Place::text() const { return line == 0 ? file : fmt::format("{}:{}", file, line); }

std::string shown(std::string_view text) { return clean_line(text, 100); }

tl::unexpected<Error> refuse(const Place& place, std::string_view message,
                             std::string_view remedy) {
  Error error = fail(Code::kInvalidArgument, fmt::format("{}: {}", place.text(), message)).value();
  return tl::unexpected<Error>(std::move(error).with_remedy(remedy));
}

}  // namespace flodea::unpacker
