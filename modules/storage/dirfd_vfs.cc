#include "modules/storage/dirfd_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace flodea::storage {
namespace {

constexpr char kVfsName[] = "flodea-dirfd";
constexpr std::string_view kRoot = "/proc/self/fd/";
constexpr std::string_view kDatabase = "store.db";
constexpr std::array<std::string_view, 3> kFiles = {kDatabase, "store.db-wal", "store.db-journal"};

bool is_dirfd_path(std::string_view path) {
  if (!path.starts_with(kRoot)) return false;
  path.remove_prefix(kRoot.size());
  std::size_t slash = path.find('/');
  if (slash == 0 || slash == std::string_view::npos) return false;
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!std::ranges::all_of(path.substr(0, slash), digit)) return false;
  return std::ranges::find(kFiles, path.substr(slash + 1)) != kFiles.end();
}

int full_pathname(sqlite3_vfs* /*vfs*/, const char* name, int size, char* out) {
  std::size_t length = std::strlen(name);
  if (!is_dirfd_path(name) || length >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, name, length + 1);
  return SQLITE_OK;
}

// The unix VFS, whose own functions work on the copy as well: it has all the fields they use.
sqlite3_vfs* unix_vfs = nullptr;

int open_inside(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
  // A null name is a temporary file, which the unix VFS would put in /tmp, in clear.
  if (name == nullptr || !is_dirfd_path(name)) {
    file->pMethods = nullptr;
    return SQLITE_CANTOPEN;
  }
  return unix_vfs->xOpen(vfs, name, file, flags, out);
}

int delete_inside(sqlite3_vfs* vfs, const char* name, int sync) {
  return is_dirfd_path(name) ? unix_vfs->xDelete(vfs, name, sync) : SQLITE_IOERR_DELETE;
}

int access_inside(sqlite3_vfs* vfs, const char* name, int flags, int* out) {
  return is_dirfd_path(name) ? unix_vfs->xAccess(vfs, name, flags, out) : SQLITE_IOERR_ACCESS;
}

int register_vfs() {
  unix_vfs = sqlite3_vfs_find("unix");
  if (unix_vfs == nullptr) return SQLITE_NOTFOUND;
  static sqlite3_vfs vfs = *unix_vfs;
  vfs.zName = kVfsName;
  vfs.pNext = nullptr;
  vfs.xOpen = open_inside;
  vfs.xDelete = delete_inside;
  vfs.xAccess = access_inside;
  vfs.xFullPathname = full_pathname;
  return sqlite3_vfs_register(&vfs, 0);
}

}  // namespace

Result<std::string> dirfd_vfs() {
  static const int registered = register_vfs();
  if (registered != SQLITE_OK) {
    return fail(Code::kInternal, std::string("register VFS: ") + sqlite3_errstr(registered));
  }
  return std::string(kVfsName);
}

std::string dirfd_path(int directory) {
  return std::string(kRoot) + std::to_string(directory) + "/" + std::string(kDatabase);
}

}  // namespace flodea::storage
