// The tables of the event log in state.db, and how those of an earlier build become them.
#pragma once

#include "base/sqlite.h"

namespace flodea::control {

// One transaction; may take seconds where an earlier build left a million events.
Status prepare_event_tables(sqlite::Database& db);

}  // namespace flodea::control
