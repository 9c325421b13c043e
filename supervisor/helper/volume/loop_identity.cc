#include "supervisor/helper/volume/loop_identity.h"

#include <charconv>

namespace flodea::volume {
namespace {

constexpr char kSeparator = ':';

template <class T>
bool take_number(std::string_view& text, T* value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (error != std::errc() || end == text.data() + text.size() || *end != kSeparator) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return true;
}

}  // namespace

std::string LoopIdentity::encode() const {
  return std::to_string(number) + kSeparator + std::to_string(backing_device) + kSeparator +
         std::to_string(backing_inode) + kSeparator + label;
}

Result<LoopIdentity> LoopIdentity::decode(std::string_view text) {
  LoopIdentity identity;
  if (!take_number(text, &identity.number) || !take_number(text, &identity.backing_device) ||
      !take_number(text, &identity.backing_inode) || identity.number < 0 || text.empty() ||
      text.size() > 63)
    return fail(Code::kInvalidArgument, "not the identity of a loop device");
  identity.label = text;
  return identity;
}

}  // namespace flodea::volume
