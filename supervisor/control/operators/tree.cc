#include "supervisor/control/operators/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/safe_path.h"

namespace flodea::control {
namespace {

struct CloseDirectory {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

// d_type is DT_UNKNOWN on some file systems.
unsigned char type_of(int dirfd, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type;
  struct stat st{};
  if (::fstatat(dirfd, entry.d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) return DT_UNKNOWN;
  return static_cast<unsigned char>(IFTODT(st.st_mode));
}

Result<UniqueFd> open_directory(int dirfd, const std::string& name) {
  return open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Status unlink_entry(int dirfd, const std::string& name, int flags) {
  if (::unlinkat(dirfd, name.c_str(), flags) == 0 || errno == ENOENT) return {};
  return fail_errno("remove " + name);
}

Status collect_files(int dirfd, const std::string& prefix, std::size_t most,
                     std::vector<std::string>& files) {
  for (const DirectoryEntry& entry : TRY(list_directory(dirfd))) {
    if (files.size() >= most) return {};
    if (entry.type == DT_REG) files.push_back(prefix + entry.name);
    if (entry.type != DT_DIR) continue;
    auto child = TRY(open_directory(dirfd, entry.name));
    TRY(collect_files(child.get(), prefix + entry.name + "/", most, files));
  }
  return {};
}

}  // namespace

Result<std::vector<DirectoryEntry>> list_directory(int dirfd) {
  auto fd = TRY(open_directory(dirfd, "."));
  std::unique_ptr<DIR, CloseDirectory> dir(::fdopendir(fd.get()));
  if (!dir) return fail_errno("read directory");
  fd.release();  // closedir closes it
  std::vector<DirectoryEntry> entries;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") entries.push_back({name, type_of(dirfd, *entry)});
    errno = 0;
  }
  if (errno != 0) return fail_errno("read directory");
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Status remove_tree(int dirfd, const std::string& name) {
  auto dir = open_directory(dirfd, name);
  if (!dir) {
    if (dir.error().sys_errno == ENOENT) return {};
    return unlink_entry(dirfd, name, 0);
  }
  for (const DirectoryEntry& entry : TRY(list_directory(dir->get()))) {
    if (entry.type == DT_DIR) {
      TRY(remove_tree(dir->get(), entry.name));
    } else {
      TRY(unlink_entry(dir->get(), entry.name, 0));
    }
  }
  return unlink_entry(dirfd, name, AT_REMOVEDIR);
}

Result<std::vector<std::string>> list_files(int dirfd, std::size_t most) {
  std::vector<std::string> files;
  TRY(collect_files(dirfd, "", most, files));
  return files;
}

}  // namespace flodea::control
