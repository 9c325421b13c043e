// Runs one of e2fsprogs: no shell, a fixed environment, output bounded and kept for messages,
// killed at its deadline.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace flodea::volume {

struct ToolOutcome {
  int exit_code;
  std::string output;  // stdout and stderr, the first 8 KiB
};

// `name` is looked for in /usr/sbin and /sbin. `inherited_fd`, if not -1, is descriptor 3 of the
// tool. kNotFound: not installed; kDeadlineExceeded: it was killed; kInternal: it died by a signal.
Result<ToolOutcome> run_tool(const std::string& name, const std::vector<std::string>& arguments,
                             int inherited_fd, Nanos timeout);

}  // namespace flodea::volume
