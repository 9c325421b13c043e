// Room kept for deleting. On a full disk SQLite cannot even delete: it must write down first what
// it is going to change. So a file beside the database holds some blocks, which are given up for a
// commit of deletes alone and taken again afterwards. Not thread-safe.
#pragma once

#include "base/result.h"

namespace flodea::storage {

// Of the agent's disk. More than the log can hold (schema.cc: 64 pages and one commit) when it is
// copied back into a database that has to grow.
inline constexpr long kReserveBytes = 1 << 20;

// Makes the file, if it is not there and there is room; no error if there is none.
void keep_reserve(int directory);
// True: there was one, and its blocks are free now.
bool give_up_reserve(int directory);

}  // namespace flodea::storage
