// A manifest's spec as agents see it (Self/Describe): flodea.operators.v1.AgentSpec in protobuf's
// JSON mapping, defaults filled in.
#pragma once

#include <string>

#include "policy/agent_spec.h"

namespace flodea::control {

std::string spec_json(const AgentManifest& manifest);

}  // namespace flodea::control
