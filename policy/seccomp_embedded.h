// System-call profiles that are part of the program they restrict: policy/profiles/NAME.json, built
// in by flodea_embed_profile (cmake/FlodeaProfiles.cmake). Pure.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "policy/seccomp_profile.h"

namespace flodea {

struct EmbeddedProfile {
  std::string_view name;
  std::string_view text;
};

// The filter of the first profile; the others are what it includes. kNotFound: an include that is
// not among them.
Result<std::vector<sock_filter>> compile(std::span<const EmbeddedProfile> profiles);

}  // namespace flodea
