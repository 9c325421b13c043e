// Opening below a directory of ours and nowhere else: openat2(2) with RESOLVE_BENEATH, NO_SYMLINKS,
// NO_XDEV, NO_MAGICLINKS.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace flodea {

Result<UniqueFd> open_beneath(int dirfd, const std::string& relative, int flags, mode_t mode = 0);
// mkdirat(2) that is content with an existing directory.
Status make_dir(int dirfd, const std::string& name, mode_t mode);
// Whole file, at most `limit` bytes (kOutOfRange past it).
Result<std::string> read_all(int fd, std::size_t limit);
Result<std::string> read_file(int dirfd, const std::string& relative, std::size_t limit);
Status write_all(int fd, std::string_view data);
// Replaces `name` as one step: temporary file, fsync, rename, fsync of the directory.
Status replace_file(int dirfd, const std::string& name, std::string_view data, mode_t mode);

}  // namespace flodea
