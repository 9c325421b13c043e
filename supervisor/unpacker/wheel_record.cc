#include "supervisor/unpacker/wheel_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "supervisor/unpacker/hashes.h"

namespace flodea::unpacker {
namespace {

// One record of RFC 4180, taken from `rest`: fields may be quoted, and then hold what they like.
std::vector<std::string> take_record(std::string_view& rest, std::size_t& lines) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  std::size_t at = 0;
  for (; at < rest.size(); ++at) {
    char c = rest[at];
    if (c == '\n') ++lines;
    if (quoted && c == '"' && at + 1 < rest.size() && rest[at + 1] == '"') {
      fields.back() += c;
      ++at;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      fields.emplace_back();
    } else if (!quoted && c == '\n') {
      ++at;
      break;
    } else if (quoted || c != '\r') {
      fields.back() += c;
    }
  }
  rest.remove_prefix(at);
  return fields;
}

}  // namespace

Result<std::map<std::string, std::string>> parse_wheel_record(const std::string& name,
                                                              std::string_view text) {
  constexpr std::string_view kSha256 = "sha256=";
  std::map<std::string, std::string> hashes;
  for (std::size_t line = 1, next = 1; !text.empty(); line = next) {
    std::vector<std::string> fields = take_record(text, next);
    if (fields.size() == 1 && fields[0].empty()) continue;
    auto bad = [&](std::string_view what) {
      return fail(Code::kInvalidArgument, fmt::format("{}:{}: {}", name, line, what));
    };
    if (fields.size() != 3) return bad("is not \"path,hash,size\"");
    std::string shown = clean_line(fields[0], 100);
    std::string hash;
    if (fields[0] != name && fields[0] != name + ".jws" && fields[0] != name + ".p7s") {
      std::string_view written = fields[1];
      auto hex = written.starts_with(kSha256) ? hex_of_base64url(written.substr(kSha256.size()), 32)
                                              : std::nullopt;
      if (!hex) return bad(fmt::format("{} has no sha256", shown));
      hash = std::move(*hex);
    }
    if (!hashes.emplace(std::move(fields[0]), std::move(hash)).second)
      return bad(fmt::format("{} stands there twice", shown));
  }
  return hashes;
}

}  // namespace flodea::unpacker
