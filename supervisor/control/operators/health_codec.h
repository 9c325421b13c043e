// The health of a manifest (spec.readiness, spec.liveness, spec.startup) between the wire and the
// domain, as spec_codec.h says of the rest. Pure.
#pragma once

#include "flodea/operators/v1/operators.pb.h"
#include "policy/agent_spec.h"
#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

Status decode_health(const operators::v1::AgentSpec& wire, AgentSpec& spec);
// What is not asked for is left out.
void encode_health(const AgentSpec& spec, operators::v1::AgentSpec& wire);

}  // namespace flodea::control
