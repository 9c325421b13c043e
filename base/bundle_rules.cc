#include "base/bundle_rules.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/quantity.h"
#include "base/text.h"

namespace flodea {
namespace {

constexpr std::size_t kShown = 128;  // of a path, in messages

tl::unexpected<Error> refuse(std::string_view path, std::string_view what,
                             std::string_view remedy) {
  std::string shown = replace_invalid_utf8(path.substr(0, kShown));
  return tl::unexpected(
      fail(Code::kInvalidArgument, fmt::format("bundle entry \"{}\" {}", shown, what))
          .value()
          .with_field("spec.bundle")
          .with_remedy(remedy));
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string_view take_component(std::string_view& rest) {
  std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view component = rest.substr(0, slash);
  rest.remove_prefix(std::min(slash + 1, rest.size()));
  return component;
}

std::size_t components_of(std::string_view path) {
  return path.empty() ? 0 : 1 + static_cast<std::size_t>(std::ranges::count(path, '/'));
}

const char* type_word(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFCHR:
      return "is a character device";
    case S_IFBLK:
      return "is a block device";
    case S_IFIFO:
      return "is a named pipe";
    case S_IFSOCK:
      return "is a socket";
    default:
      return "has no known type";
  }
}

}  // namespace

Status check_bundle_path(std::string_view path, const BundleLimits& limits) {
  if (path.empty()) return refuse(path, "has no name", "give each entry a path");
  if (path.front() == '/')
    return refuse(path, "has an absolute path", "make it relative to the bundle");
  if (path.size() > limits.path)
    return refuse(path, fmt::format("has a path of more than {} bytes", limits.path), "shorten it");
  if (!is_utf8(path) || has_control(path))
    return refuse(path, "has a name that is not plain UTF-8 text", "rename it");
  if (components_of(path) > limits.depth)
    return refuse(path, fmt::format("lies more than {} directories deep", limits.depth),
                  "flatten the tree");
  if (path.back() == '/') return refuse(path, "ends with '/'", "leave it out");
  for (std::string_view rest = path; !rest.empty();) {
    std::string_view component = take_component(rest);
    if (component == "..")
      return refuse(path, "has \"..\" in its path", "name it from the bundle's top");
    if (component.empty() || component == ".")
      return refuse(path, "has an empty or \".\" part in its path", "normalise it");
    if (component.size() > 255)
      return refuse(path, "has a name of more than 255 bytes", "shorten it");
  }
  return {};
}

Status check_link_target(std::string_view path, std::string_view target,
                         const BundleLimits& limits) {
  constexpr std::string_view kRemedy =
      "link relative, to something inside the bundle, or copy the file";
  if (target.empty()) return refuse(path, "is a link to nothing", kRemedy);
  if (target.front() == '/') return refuse(path, "is a link to an absolute path", kRemedy);
  if (target.size() > limits.path)
    return refuse(path, fmt::format("is a link to a path of more than {} bytes", limits.path),
                  "shorten it");
  if (!is_utf8(target) || has_control(target))
    return refuse(path, "is a link to a name that is not plain UTF-8 text", "rename it");
  std::size_t climbed = 0;
  bool named = false;
  for (std::string_view rest = target; !rest.empty();) {
    std::string_view component = take_component(rest);
    if (component.empty() || component == ".") continue;
    if (component != "..") {
      named = true;
      continue;
    }
    if (named)
      return refuse(path, "is a link with \"..\" after a name",
                    "write its target without the detour");
    if (++climbed > components_of(parent_path(path)))
      return refuse(path, "is a link that leaves the bundle", kRemedy);
  }
  return {};
}

Status check_entry_mode(std::string_view path, std::uint32_t mode) {
  if (!S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode))
    return refuse(path, type_word(mode), "a bundle holds files, directories and symlinks only");
  if ((mode & S_ISUID) != 0)
    return refuse(path, "is setuid", fmt::format("chmod u-s {}", base_name(path)));
  if ((mode & S_ISGID) != 0)
    return refuse(path, "is setgid", fmt::format("chmod g-s {}", base_name(path)));
  return {};
}

static tl::unexpected<Error> too_much(std::string message) {
  return tl::unexpected(fail(Code::kResourceExhausted, std::move(message))
                            .value()
                            .with_field("spec.bundle")
                            .with_remedy("leave data and packages out of the bundle"));
}

Status check_bundle_totals(std::uint64_t bytes, std::uint64_t entries, const BundleLimits& limits) {
  if (entries > limits.entries)
    return too_much(fmt::format("the bundle has more than {} entries", limits.entries));
  if (bytes > limits.bytes)
    return too_much(
        fmt::format("the bundle's files have more than {}", format_bytes(limits.bytes)));
  return {};
}

std::string_view parent_path(std::string_view path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view base_name(std::string_view path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace flodea
