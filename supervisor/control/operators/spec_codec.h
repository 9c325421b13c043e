// Manifests between the wire and the domain. Decoding fills in the documented defaults and checks
// every bound of spec.proto; each refusal is INVALID_ARGUMENT with the field's path and what to
// write instead (FAILED_PRECONDITION where it is this host that cannot hold it). Pure: no I/O, no
// gRPC.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "flodea/operators/v1/operators.pb.h"
#include "policy/agent_spec.h"
#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

// What a manifest may say of a runtime.
struct RuntimeBounds {
  std::uint64_t min_memory = 0;
  std::string engine;  // empty: it has no choice of them
};

// What this host and this build offer.
struct SpecBounds {
  std::uint32_t host_cpu_millis = 1'024'000;
  std::map<std::string, RuntimeBounds> runtimes{// by type
                                                {"python", {24 * kMiB, ""}},
                                                {"javascript", {64 * kMiB, "node"}}};
};

Result<AgentManifest> decode_manifest(const operators::v1::AgentManifest& wire,
                                      const SpecBounds& bounds = {});
// The same, of a request that asks for nothing that this build does not do.
Result<AgentManifest> decode_apply(const operators::v1::ApplyRequest& wire,
                                   const SpecBounds& bounds = {});
// 1 to kMaxPlanned manifests, each of another agent.
Result<std::vector<AgentManifest>> decode_plan(const operators::v1::PlanRequest& wire,
                                               const SpecBounds& bounds = {});
// Canonical: every field set, quantities as format_bytes and format_duration write them.
// decode(encode(m)) == m.
operators::v1::AgentManifest encode_manifest(const AgentManifest& manifest);
operators::v1::AgentSpec encode_spec(const AgentSpec& spec);

operators::v1::State encode_state(AgentState state);
// Text that comes from agents is made valid UTF-8.
operators::v1::Agent encode_agent(const AgentView& view);

}  // namespace flodea::control
