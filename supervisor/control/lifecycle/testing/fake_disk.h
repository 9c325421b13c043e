// The disk below SQLite while a test runs: syncing costs nothing but is noted, writes fail while it
// is full, and a failure of power takes back what was not synced. One at a time; it stands in for
// SQLite's default VFS (https://sqlite.org/vfs.html) as long as it lives. One thread.
#pragma once

#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "supervisor/control/lifecycle/testing/dice.h"

namespace flodea::control::testing {

class FakeDisk {
 public:
  bool full = false;

  FakeDisk() : real_(sqlite3_vfs_find(nullptr)), shim_(*real_) {
    shim_.zName = "flodea-test";
    shim_.xOpen = open;
    sqlite3_vfs_register(&shim_, 1);
    here() = this;
  }
  ~FakeDisk() {
    sqlite3_vfs_unregister(&shim_);
    sqlite3_vfs_register(real_, 1);
    here() = nullptr;
  }
  FakeDisk(const FakeDisk&) = delete;
  FakeDisk& operator=(const FakeDisk&) = delete;

  // The power fails while `close` is not called yet: of what was written since the last sync, the
  // end is lost. `close` is to close every connection to it.
  template <class Close>
  void power_fails(const std::filesystem::path& database, Dice& dice, Close close) {
    std::filesystem::path wal = database.string() + "-wal";
    std::string content = read(database), log = read(wal);
    auto lost = static_cast<std::uint32_t>(written_ - std::min(written_, synced_));
    std::size_t kept = static_cast<std::size_t>(written_) - (lost > 0 ? dice.pick(lost + 1) : 0);
    close();
    std::filesystem::remove(database.string() + "-shm");
    write(database, content);
    write(wal, log.substr(0, kept));
    synced_ = written_ = 0;
  }

 private:
  static FakeDisk*& here() {
    static FakeDisk* disk = nullptr;
    return disk;
  }

  static int open(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out) {
    FakeDisk& disk = *here();
    int rc = disk.real_->xOpen(disk.real_, name, file, flags, out);
    if (rc != SQLITE_OK || file->pMethods == nullptr) return rc;
    const sqlite3_io_methods* real = disk.real_of_[file] = file->pMethods;
    sqlite3_io_methods& patched = disk.patched_[real];
    patched = *real;
    patched.xWrite = write_some;
    patched.xSync = sync;
    file->pMethods = &patched;
    if ((flags & SQLITE_OPEN_WAL) != 0) {
      disk.wal_ = file;
      real->xFileSize(file, &disk.synced_);
      disk.written_ = disk.synced_;
    }
    return rc;
  }
  static int write_some(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 at) {
    FakeDisk& disk = *here();
    if (disk.full) return SQLITE_FULL;
    if (file == disk.wal_) disk.written_ = at + size;
    return disk.real_of_[file]->xWrite(file, bytes, size, at);
  }
  static int sync(sqlite3_file* file, int) {
    FakeDisk& disk = *here();
    if (file == disk.wal_) disk.synced_ = disk.written_;
    return SQLITE_OK;
  }

  static std::string read(const std::filesystem::path& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
  }
  static void write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

  sqlite3_vfs* real_;
  sqlite3_vfs shim_;
  std::map<sqlite3_file*, const sqlite3_io_methods*> real_of_;
  std::map<const sqlite3_io_methods*, sqlite3_io_methods> patched_;  // logs have others
  sqlite3_file* wal_ = nullptr;  // of the connection that was opened last
  sqlite3_int64 written_ = 0, synced_ = 0;
};

}  // namespace flodea::control::testing
