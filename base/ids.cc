#include "base/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

namespace flodea {
namespace {

bool is_lower_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_label_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

}  // namespace

Result<AgentId> AgentId::parse(std::string_view text) {
  if (text.size() != 32 || !is_lower_hex(text))
    return fail(Code::kInvalidArgument, "not an agent id: 32 lower-case hex digits are needed");
  return AgentId(std::string(text));
}

AgentId AgentId::random() {
  std::array<unsigned char, 16> bytes{};
  std::size_t have = 0;
  while (have < bytes.size()) {
    ssize_t n = ::getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (n > 0) have += static_cast<std::size_t>(n);
  }
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned char b : bytes) {
    text += kHex[b >> 4];
    text += kHex[b & 15];
  }
  return AgentId(std::move(text));
}

Result<BundleDigest> BundleDigest::from_hex(std::string_view hex) {
  if (hex.size() != 64 || !is_lower_hex(hex))
    return fail(Code::kInvalidArgument, "not a bundle digest: 64 lower-case hex digits are needed");
  return BundleDigest(std::string(hex));
}

Result<BundleDigest> BundleDigest::parse(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!text.starts_with(kPrefix))
    return fail(Code::kInvalidArgument, "not a bundle digest: it must start with sha256:");
  return from_hex(text.substr(kPrefix.size()));
}

Status check_agent_name(std::string_view name) {
  bool ok = !name.empty() && name.size() <= 63 && std::ranges::all_of(name, is_label_char) &&
            name.front() != '-' && name.back() != '-';
  if (ok) return {};
  return tl::unexpected(
      fail(Code::kInvalidArgument,
           "agent name \"" + std::string(name.substr(0, 80)) + "\" is not a DNS label")
          .value()
          .with_remedy("use 1 to 63 of a-z, 0-9 and '-', not at an end"));
}

}  // namespace flodea
