#include "supervisor/unpacker/packages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/safe_path.h"
#include "supervisor/unpacker/refusal.h"

namespace flodea::unpacker {
namespace {

constexpr std::size_t kMaxLock = 16 << 20;

}  // namespace

std::string beside(const std::string& lock, const std::string& name) {
  std::string_view parent = parent_path(lock);
  return parent.empty() ? name : fmt::format("{}/{}", parent, name);
}

Result<std::string> read_lock(int bundle, const std::string& lock) {
  if (!check_bundle_path(lock, {}))
    return refuse({.file = lock}, "is no path of a bundle", "name it from the bundle's top");
  auto text = read_file(bundle, lock, kMaxLock);
  if (text) return std::move(*text);
  if (text.error().sys_errno == ENOENT)
    return refuse({.file = lock}, "is not in the bundle",
                  "add it, or take out spec.runtime.packages");
  if (text.error().code == Code::kOutOfRange)
    return refuse({.file = lock}, "is longer than 16Mi", "lock fewer packages");
  return tl::unexpected(std::move(text).error().with_context(lock));
}

Status refuse_existing(int bundle, const std::string& top) {
  struct stat st{};
  if (::fstatat(bundle, top.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(top);
  }
  return refuse({.file = top}, "is in the bundle already, and would be made from the lock",
                fmt::format("leave {} out of the bundle, or take out spec.runtime.packages", top));
}

}  // namespace flodea::unpacker
