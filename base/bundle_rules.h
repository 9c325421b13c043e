// What a bundle may hold, as pure functions: control's store refuses by them, and the CLI does
// before it sends a byte.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace flodea {

struct BundleLimits {
  std::uint64_t bytes = 64ull << 20;  // of all files
  std::uint32_t entries = 10'000;
  std::size_t depth = 32;
  std::size_t path = 512;               // bytes of a path, and of a link's target
  std::uint64_t reserve = 64ull << 20;  // disk that an upload leaves free
};

// Relative, '/'-separated, normalised (no "", "." or ".." in it), UTF-8 without control characters.
Status check_bundle_path(std::string_view path, const BundleLimits& limits);

// A link at `path` leads somewhere inside: relative, ".." only in front and not past the bundle's
// top. As no entry lies under a link, each leading ".." climbs a real directory, so the kernel is
// not led out either, whatever other links the target passes through.
Status check_link_target(std::string_view path, std::string_view target,
                         const BundleLimits& limits);

// A file, directory or symlink, without setuid and setgid.
Status check_entry_mode(std::string_view path, std::uint32_t mode);

// RESOURCE_EXHAUSTED once a bundle has more than it may.
Status check_bundle_totals(std::uint64_t bytes, std::uint64_t entries, const BundleLimits& limits);

std::string_view parent_path(std::string_view path);  // "" for an entry at the top
std::string_view base_name(std::string_view path);

}  // namespace flodea
