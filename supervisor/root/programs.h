// The programs that flodead executes: its siblings, held open. A directory that only root may enter
// is no obstacle to services, nor is an upgrade.
#pragma once

#include <map>
#include <string>

#include "base/unique_fd.h"
#include "supervisor/root/config.h"

namespace flodea::root {

struct Programs {
  std::string path;
  UniqueFd dir;
  UniqueFd helper, worker, vault, control;
  std::map<std::string, UniqueFd> jobs;  // by JobProgram::name
};

// Errors name the program that is not there.
Result<Programs> open_programs(const Config& config);

}  // namespace flodea::root
