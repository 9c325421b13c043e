// Which runtimes this host has, found by running them.
#pragma once

#include <string>

namespace flodea::helper {

// The version that `executable --version` says last on its first line; empty if it is not there or
// does not run.
std::string runtime_version(const std::string& executable);

}  // namespace flodea::helper
