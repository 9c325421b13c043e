// Opening state.db: recognising what is not one, and bringing an older one to this build's schema,
// one step per version.
#pragma once

#include <string>

#include "base/sqlite.h"

namespace flodea::control {

// "PATH is …", kDataLoss, with what an operator can do.
tl::unexpected<Error> unusable_state(const std::string& path, std::string why);

// An open connection at StateDb::kSchemaVersion, in WAL mode. Errors name the file and the remedy.
Result<sqlite::Database> open_state_file(const std::string& path);

// Whether `open_state_file` would find a file that it can bring to this build's schema, or none;
// the file stays as it is, and another process may have it open.
Status check_state_file(const std::string& path);

}  // namespace flodea::control
