// Manifests as state.db keeps them: JSON with exact numbers (bytes, nanoseconds), independent of
// the operators' API and its checks, so that what was accepted once is read again by every later
// build. Fields that are missing have their defaults; unknown ones are ignored.
#pragma once

#include <string>
#include <string_view>

#include "policy/agent_spec.h"

namespace flodea::control {

std::string store_manifest(const AgentManifest& manifest);
Result<AgentManifest> restore_manifest(std::string_view json);  // kDataLoss

}  // namespace flodea::control
