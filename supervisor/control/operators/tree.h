// Directory trees below a descriptor: listed and removed without following a link.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace flodea::control {

struct DirectoryEntry {
  std::string name;
  unsigned char type;  // DT_*
};
// Without "." and "..", sorted by name.
Result<std::vector<DirectoryEntry>> list_directory(int dirfd);

// Removes `name` below `dirfd` and all in it. Content that is gone already is no error.
Status remove_tree(int dirfd, const std::string& name);

// Paths of the regular files below `dirfd`, relative to it, at most `most`.
Result<std::vector<std::string>> list_files(int dirfd, std::size_t most);

}  // namespace flodea::control
