#include "policy/seccomp_embedded.h"

#include <algorithm>

namespace flodea {

Result<std::vector<sock_filter>> compile(std::span<const EmbeddedProfile> profiles) {
  if (profiles.empty()) return fail(Code::kNotFound, "no profile is part of the program");
  auto included = [profiles](const std::string& name) -> Result<std::string> {
    auto found = std::ranges::find(profiles, name, &EmbeddedProfile::name);
    if (found != profiles.end()) return std::string(found->text);
    return fail(Code::kNotFound, "profile " + name + " is not part of the program");
  };
  const EmbeddedProfile& own = profiles.front();
  return compile(TRY(parse_seccomp_profile(std::string(own.name), own.text, included)));
}

}  // namespace flodea
