// A SQLite VFS for one database, "store.db", reached by its directory's descriptor alone:
// "/proc/self/fd/N/store.db".
//
// Weakens isolation if bypassed: SQLite's own xFullPathname follows /proc/self/fd/N as if it were a
// symbolic link. Of a detached mount that reads "/", so the database would be made in the *host's*
// root, in clear. This one keeps the name as it is. It refuses every other name too: a rollback
// journal may name a "super-journal" that SQLite then opens and deletes, wherever that is.
#pragma once

#include <string>

#include "base/result.h"

namespace flodea::storage {

// Registers the VFS with SQLite on first use (its registry is the process's); the name for
// sqlite3_open_v2. Thread-safe.
Result<std::string> dirfd_vfs();

// "/proc/self/fd/N/store.db"
std::string dirfd_path(int directory);

}  // namespace flodea::storage
