// Compiles system-call profiles to the filters that workers get.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace flodea::helper {

struct CompiledProfile {
  UniqueFd filter;  // sealed memfd of struct sock_filter
  std::uint32_t instructions = 0;
};
// `directory` holds NAME.json.
Result<CompiledProfile> compile_profile(int directory, const std::string& name);

}  // namespace flodea::helper
