#include "modules/storage/page_token.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "modules/storage/store.h"

namespace flodea::storage {
namespace {

constexpr char kVersion = '\1';
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string to_base64url(std::string_view bytes) {
  std::string text;
  std::uint32_t bits = 0;
  int have = 0;
  for (char c : bytes) {
    bits = bits << 8 | static_cast<std::uint8_t>(c);
    for (have += 8; have >= 6; have -= 6) text.push_back(kAlphabet[bits >> (have - 6) & 63]);
  }
  if (have > 0) text.push_back(kAlphabet[bits << (6 - have) & 63]);
  return text;
}

std::optional<std::string> from_base64url(std::string_view text) {
  std::string bytes;
  std::uint32_t bits = 0;
  int have = 0;
  for (char c : text) {
    std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    bytes.push_back(static_cast<char>(bits >> have));
  }
  return bytes;
}

}  // namespace

std::string encode_page_token(const std::string& last_key) {
  return to_base64url(kVersion + last_key);
}

Result<std::string> decode_page_token(const std::string& token, const std::string& prefix) {
  auto bytes = token.size() <= 2 * kMaxKeyBytes ? from_base64url(token) : std::nullopt;
  bool ours = bytes && bytes->size() >= 2 && bytes->size() <= kMaxKeyBytes + 1 &&
              bytes->front() == kVersion && bytes->compare(1, prefix.size(), prefix) == 0;
  if (ours) return bytes->substr(1);
  return tl::unexpected(Error{.code = Code::kInvalidArgument,
                              .message = "not a page token of this listing",
                              .field = "page_token",
                              .remedy = "pass next_page_token of the previous page, same prefix"});
}

}  // namespace flodea::storage
