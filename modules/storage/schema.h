// How a store's file is opened and what it must look like inside.
#pragma once

#include "base/sqlite.h"

namespace flodea::storage {

// The file with every defence of SQLite's against hostile files on, and small caches.
Result<sqlite::Database> open_database(int directory);
// Makes the tables of a new file; of an old one, compares them with ours. kDataLoss: they differ.
Status ensure_schema(sqlite::Database& db);
// What an error of SQLite means to the agent; see connection.h.
Error classify(sqlite::Database& db, Error error);

}  // namespace flodea::storage
